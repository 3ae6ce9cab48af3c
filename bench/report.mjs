// How figures are summed up and printed: percentiles, spreads over rounds, plain tables and the list of goals.

import { cpus, totalmem, type } from 'node:os'

/** @typedef {{ name: string, goal: string, measured: string, holds: boolean }} Verdict */

/** @type {Verdict[]} */
const verdicts = []

/**
 * @param {readonly number[]} values
 * @param {number} share 0..1
 */
export function percentile(values, share) {
  const sorted = Float64Array.from(values).sort()
  const index = Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)
  return sorted[Math.max(0, index)] ?? Number.NaN
}

/** @param {readonly number[]} values */
export function median(values) {
  const sorted = Float64Array.from(values).sort()
  const middle = sorted.length / 2
  if (sorted.length === 0) return Number.NaN
  return sorted.length % 2 === 1
    ? sorted[Math.floor(middle)]
    : (sorted[middle - 1] + sorted[middle]) / 2
}

/**
 * A number with as many decimals as its size deserves, thousands apart.
 *
 * @param {number | null} value
 */
export function figure(value) {
  if (value === null || Number.isNaN(value)) return '-'
  const size = Math.abs(value)
  if (size >= 100) return Math.round(value).toLocaleString('en-US')
  return value.toFixed(size >= 10 ? 1 : 2)
}

/**
 * `median (min–max)` of the rounds; the median alone when there was one round.
 *
 * @param {readonly (number | null)[]} values
 */
export function spread(values) {
  const known = values.flatMap((value) => (value === null || Number.isNaN(value) ? [] : value))
  if (known.length === 0) return '-'
  const middle = figure(median(known))
  if (known.length === 1) return middle
  return `${middle} (${figure(Math.min(...known))}–${figure(Math.max(...known))})`
}

/** @param {string} text */
export function heading(text) {
  process.stdout.write(`\n${text}\n${'-'.repeat(text.length)}\n`)
}

/** @param {string} text */
export function say(text) {
  process.stdout.write(`${text}\n`)
}

/** Tells what is under way, apart from the results. @param {string} text */
export function progress(text) {
  process.stderr.write(`  … ${text}\n`)
}

/**
 * Prints rows under their heads; the first column is text, the others are figures.
 *
 * @param {readonly string[]} heads
 * @param {readonly (readonly string[])[]} rows
 */
export function table(heads, rows) {
  const all = [heads, ...rows]
  const widths = heads.map((_, i) => Math.max(...all.map((row) => (row[i] ?? '').length)))
  const line = (/** @type {readonly string[]} */ row) =>
    widths
      .map((width, i) => (i === 0 ? (row[i] ?? '').padEnd(width) : (row[i] ?? '').padStart(width)))
      .join('  ')
      .trimEnd()
  say(line(heads))
  say(widths.map((width) => '-'.repeat(width)).join('  '))
  for (const row of rows) say(line(row))
}

/**
 * Notes a goal for the list at the end. Missing one never fails the run: speed is judged by people,
 * who know what else the machine did.
 *
 * @param {string} name
 * @param {string} goal
 * @param {string} measured
 * @param {boolean} holds
 */
export function judge(name, goal, measured, holds) {
  verdicts.push({ name, goal, measured, holds })
}

/** Prints every goal that was judged. */
export function printGoals() {
  if (verdicts.length === 0) return
  heading('Goals')
  table(
    ['what', 'goal', 'measured', 'mark'],
    verdicts.map(({ name, goal, measured, holds }) => [
      name,
      goal,
      measured,
      holds ? 'pass' : 'BELOW',
    ]),
  )
}

/**
 * States what the figures were taken on.
 *
 * @param {{ version: string, settings: Record<string, string>, origin: string }} server
 */
export function printMachine(server) {
  const cores = cpus()
  const memory = Math.round(totalmem() / 2 ** 30)
  heading('Machine')
  say(`${cores.length} cores (${cores[0]?.model.trim() ?? 'unknown'}), ${memory} GB, ${type()}`)
  say(`Node ${process.versions.node}, PostgreSQL ${server.version} (${server.origin})`)
  const settings = Object.entries(server.settings).map(([name, value]) => `${name}=${value}`)
  say(settings.join(' '))
  say('Service, PostgreSQL and load generator share these cores: read ratios, not rates.')
}
