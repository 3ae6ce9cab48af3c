// The dashboard, the alerts and their page speak of metrics that the service has, and of all of them.

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { createMetrics } from '../../src/engine/metrics.ts'
import { checkout, rowsOf } from '../support/docs.ts'
import { seriesOf } from '../support/metrics.ts'
import { alertsIn, namesIn, panelsIn, unknownIn } from '../support/ops.ts'

const read = (path: string) => readFile(join(checkout, path), 'utf8')
const text = await createMetrics('0.0.0').text()
const series = seriesOf(text)
const panels = panelsIn(await read('ops/grafana-dashboard.json'))
const alerts = alertsIn(await read('ops/alerts.yml'))
const page = await read('docs/metrics.md')
const rows = rowsOf(page)

describe('the dashboard', () => {
  it('asks for metrics that there are', () => {
    expect(panels.length).toBeGreaterThan(30)
    for (const { title, queries } of panels) {
      expect(queries, title).not.toEqual([])
      for (const query of queries)
        expect(unknownIn(query, series), `${title}: ${query}`).toEqual([])
    }
  })

  it('lets its reader choose the data source and the process', () => {
    for (const { title, datasources, queries } of panels) {
      // biome-ignore lint/suspicious/noTemplateCurlyInString: a variable of the dashboard.
      expect(new Set(datasources), title).toEqual(new Set(['${datasource}']))
      for (const query of queries) expect(query, title).toContain('instance=~"$instance"')
    }
  })
})

describe('the alerts', () => {
  it('look at metrics that there are', () => {
    expect(alerts.length).toBeGreaterThan(20)
    for (const { name, expr } of alerts) {
      expect(expr, name).not.toBe('')
      expect(unknownIn(expr, new Set([...series, 'up'])), `${name}: ${expr}`).toEqual([])
    }
  })

  it('have a test each, which sees them fire and keep silent', async () => {
    const tests = await read('ops/alerts.test.yml')
    for (const { name } of alerts) {
      const cases = tests.split(`alertname: ${name}\n`).slice(1)
      expect(
        cases.map((one) => /exp_alerts: \[\]/.test(one.split('alertname:')[0] ?? '')),
        name,
      ).toEqual([true, false])
    }
  })

  it('are told of, with their severity and what to do', () => {
    const told = rows.filter(([name = '']) => name.startsWith('Taskflow'))
    expect(told.map(([name, severity]) => `${name} ${severity}`)).toEqual(
      alerts.map(({ name, severity }) => `${name} ${severity}`),
    )
    for (const [name, , remedy = ''] of told) expect(remedy.length, name).toBeGreaterThan(20)
  })
})

describe('the page', () => {
  it('tells of every metric of the service with its type, and of no other', () => {
    const told = rows
      .filter(([name = '']) => name.startsWith('taskflow_'))
      .map(([name, type]) => `${name} ${type}`)
    const known = [...text.matchAll(/^# TYPE (taskflow_\S+ \S+)$/gm)].map(([, one]) => one)
    expect(told.toSorted()).toEqual(known.toSorted())
  })
})

describe('the conventions', () => {
  it('hold: a unit or _total at the end, a help text that is a sentence', () => {
    for (const [, name = '', help = ''] of text.matchAll(/^# HELP (taskflow_\S+) (.*)$/gm)) {
      expect(help, name).toMatch(/^[A-Z].*\.$/)
      const type = new RegExp(`^# TYPE ${name} (\\S+)$`, 'm').exec(text)?.[1]
      expect(name.endsWith('_total'), name).toBe(type === 'counter')
      if (/\b(How long|How late|How much later|When)\b/.test(help))
        expect(name).toMatch(/_seconds$/)
    }
  })
})

describe('the checks themselves', () => {
  it('see a metric that is not there', () => {
    expect(unknownIn('rate(taskflow_event_total{kind="x"}[5m]) > 0', series)).toEqual([
      'taskflow_event_total',
    ])
    expect(
      unknownIn('sum(taskflow_batch_commands_sum) / sum(taskflow_batch_commands)', series),
    ).toEqual(['taskflow_batch_commands'])
    expect(
      namesIn('time() - min by (loop) (process_open_fds{instance="taskflow_x"}) > nodejs_a'),
    ).toEqual(['process_open_fds', 'nodejs_a'])
  })
})
