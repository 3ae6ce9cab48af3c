// Reads the text format of Prometheus.

/** The sum of the samples of a series whose labels include these; 0 when there is none. */
export function sample(text: string, name: string, labels: Record<string, string> = {}): number {
  const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`)
  let sum = 0
  for (const line of text.split('\n')) {
    const found = /^([a-z_0-9]+)(?:\{(.*)\})? (\S+)$/.exec(line)
    if (found === null || found[1] !== name) continue
    const given: string[] = (found[2] ?? '').match(/[a-z_]+="(?:[^"\\]|\\.)*"/g) ?? []
    if (wanted.every((one) => given.includes(one))) sum += Number(found[3])
  }
  return sum
}

/** The names of all series that a text can have, also of those without a sample yet. */
export function seriesOf(text: string): Set<string> {
  return new Set(
    [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].flatMap(([, name = '', type]) =>
      type === 'histogram' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name],
    ),
  )
}
