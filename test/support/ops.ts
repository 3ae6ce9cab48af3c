// Reads the dashboard and the alerts: their queries, and the metrics that these name.

export interface Panel {
  title: string
  datasources: string[]
  queries: string[]
}

interface RawPanel {
  type: string
  title: string
  datasource?: { uid: string }
  targets?: { expr: string; datasource: { uid: string } }[]
}

/** Every panel but the headings. */
export function panelsIn(json: string): Panel[] {
  const { panels }: { panels: RawPanel[] } = JSON.parse(json)
  return panels
    .filter(({ type }) => type !== 'row')
    .map(({ title, datasource, targets = [] }) => ({
      title,
      datasources: [datasource, ...targets.map((one) => one.datasource)].map(
        (one) => one?.uid ?? '',
      ),
      queries: targets.map(({ expr }) => expr),
    }))
}

export interface Alert {
  name: string
  expr: string
  severity: string
}

/** The alerts of a file of rules in which each expression stands on one line of its own. */
export function alertsIn(yaml: string): Alert[] {
  return yaml
    .split(/^ +- alert: /m)
    .slice(1)
    .map((rule) => ({
      name: rule.split('\n')[0] ?? '',
      expr: /expr: >-\n +(.*)/.exec(rule)?.[1] ?? '',
      severity: /severity: (\w+)/.exec(rule)?.[1] ?? '',
    }))
}

/** The metrics that a query names; what stands in quotes is a value. */
export function namesIn(query: string): string[] {
  return (
    query.replace(/"[^"]*"/g, '""').match(/\b(?:taskflow|process|nodejs)_[a-z0-9_]+|\bup\b/g) ?? []
  )
}

/** Those of them that are not there. A family of a histogram is no series. */
export function unknownIn(query: string, series: ReadonlySet<string>): string[] {
  return namesIn(query).filter((name) => !series.has(name))
}
