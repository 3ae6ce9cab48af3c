// What must hold of the waits in one flow's log: each is ended at most once, by what can end it, and time never acts early.

import type { FlowEvent } from '../../src/domain/event.ts'
import type { FlowRecord } from '../../src/domain/flow.ts'
import type { JsonObject, JsonValue } from '../../src/domain/json.ts'

/** One thing that is waited for, as the log tells it. */
export interface ToldBranch {
  branch: JsonObject
  /** Its place in `of`; null when the wait is that branch itself. */
  index: number | null
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The branches that can still end or advance a wait, by the contract and not by the service's code. */
export function toldBranches(wait: JsonObject): ToldBranch[] {
  const { of, satisfied } = wait
  if (!Array.isArray(of)) return [{ branch: wait, index: null }]
  return of.flatMap((branch, index) => {
    const closed = Array.isArray(satisfied) && satisfied[index] === true
    return isObject(branch) && !closed ? [{ branch, index }] : []
  })
}

/** When time alone changes this wait for the first time, or null. */
function firstTime(wait: JsonObject): string | null {
  const timers = toldBranches(wait).flatMap(({ branch }) =>
    branch['kind'] === 'timer' ? [String(branch['at'])] : [],
  )
  const { timeout_at } = wait
  return [...timers, ...(typeof timeout_at === 'string' ? [timeout_at] : [])].sort()[0] ?? null
}

const timeoutEnds: Record<string, string> = {
  resumed: 'resume',
  failed: 'fail',
  cancelled: 'cancel',
}

/** I-7 and I-8: a wait is ended at most once, by what can end it, and time never acts early. */
export function waitFaults(log: readonly FlowEvent[]): string[] {
  const wrong: string[] = []
  const waits = new Map<string, JsonObject>()
  const ended = new Set<string>()
  for (const event of log) {
    const { kind, payload, revision } = event
    const id = String(payload['wait_id'])
    const known = waits.get(id)
    if (kind === 'waiting') {
      const wait = isObject(payload['wait']) ? payload['wait'] : {}
      const waitId = String(wait['id'])
      if (waits.has(waitId)) wrong.push(`wait ${waitId} begins twice`)
      waits.set(waitId, wait)
    } else if (kind === 'wait_moved' && known !== undefined) {
      waits.set(id, moved(known, payload))
    } else if (kind === 'wait_progressed' && known !== undefined) {
      if (ended.has(id)) wrong.push(`wait ${id} goes on at revision ${revision} after its end`)
      wrong.push(...causeFaults(known, event))
      waits.set(id, { ...known, satisfied: payload['satisfied'] ?? null })
    } else if (kind === 'resumed' || payload['by'] === 'timeout') {
      if (ended.has(id)) wrong.push(`wait ${id} is ended again at revision ${revision}`)
      ended.add(id)
      wrong.push(...(known === undefined ? [] : causeFaults(known, event)))
    }
  }
  return wrong
}

function moved(wait: JsonObject, payload: JsonObject): JsonObject {
  const { branch, at = null } = payload
  const { of } = wait
  if (!Array.isArray(of)) return { ...wait, at }
  return { ...wait, of: of.map((one, i) => (i === branch ? { kind: 'timer', at } : one)) }
}

/** What is wrong with the reason for which a wait ended or went on. */
function causeFaults(wait: JsonObject, { kind, payload, at, revision }: FlowEvent): string[] {
  const by = String(payload['by'])
  const here = `at revision ${revision}`
  if (by === 'manual') return kind === 'resumed' ? [] : [`a hand did ${kind} ${here}`]
  if (by === 'timeout') {
    const { timeout_at, on_timeout } = wait
    const wrong: string[] = []
    if (typeof timeout_at !== 'string') wrong.push(`a wait without a deadline timed out ${here}`)
    else if (timeout_at > at) wrong.push(`the deadline of ${timeout_at} fired at ${at}`)
    if (timeoutEnds[kind] !== on_timeout) wrong.push(`on_timeout ${on_timeout} did ${kind} ${here}`)
    const due = toldBranches(wait).some(
      ({ branch }) => branch['kind'] === 'timer' && String(branch['at']) <= String(timeout_at),
    )
    if (due) wrong.push(`the deadline passed a timer that was due before it ${here}`)
    return wrong
  }
  if (by === 'signal' && payload['link'] === true) return []
  const index = payload['branch'] ?? null
  const found = toldBranches(wait).find((one) => one.index === index)
  if (found === undefined) return [`a ${by} acted on branch ${index}, which is not open, ${here}`]
  const { branch } = found
  const wrong: string[] = []
  const kinds: Record<string, string[]> = { timer: ['timer'], signal: ['external_event', 'manual'] }
  if (!kinds[by]?.includes(String(branch['kind']))) {
    wrong.push(`a ${by} ended a ${branch['kind']} wait ${here}`)
  }
  if (by === 'timer' && String(branch['at']) > at) {
    wrong.push(`the timer of ${branch['at']} fired at ${at}`)
  }
  const left = wait['kind'] === 'all' ? toldBranches(wait).length - 1 : 0
  if (kind === 'resumed' && left > 0) wrong.push(`a wait ended ${here} with ${left} branches open`)
  return wrong
}

/** What time alone changes must be found by the tick, and nothing else. */
export function wakeFault(flow: FlowRecord, log: readonly FlowEvent[]): string | null {
  const setting = ['waiting', 'wait_moved', 'wait_progressed', 'cancel_requested', 'quarantined']
  const last = log.findLast(({ kind }) => setting.includes(kind))
  const aside = last?.kind === 'quarantined'
  if (flow.status === 'running' && flow.cancel_requested) {
    // Due when nothing was running any more, or when its grace is over; else when its steps say so.
    const request = log.findLast(({ kind }) => kind === 'cancel_requested')
    const times = [null, request?.payload['cancelled_by'] ?? null, request?.at]
    return times.includes(flow.wake_at) ? null : `it wakes at ${flow.wake_at}`
  }
  const wait = flow.wait as JsonObject | null
  const first = flow.status === 'waiting' && wait !== null ? firstTime(wait) : null
  const swept = flow.cancel_requested && ['created', 'waiting'].includes(flow.status)
  const due = (first !== null || swept) && !aside
  if (due && flow.wake_at === null) return 'nothing wakes it'
  if (!due && flow.wake_at !== null) return `it wakes at ${flow.wake_at} for nothing`
  if (!due || last === undefined) return null
  const expected = swept || first === null || first < last.at ? last.at : first
  return flow.wake_at === expected ? null : `it wakes at ${flow.wake_at} and not at ${expected}`
}

/** The match keys that a flow's present wait is found by, as texts. */
export function toldKeys({ id, namespace, shard, wait }: FlowRecord): string[] {
  if (wait === null) return []
  const keys = toldBranches(wait as JsonObject).flatMap(({ branch }) =>
    branch['kind'] === 'external_event'
      ? [[namespace, branch['topic'], branch['correlation_id'], id, wait.id, shard].join(' ')]
      : [],
  )
  return [...new Set(keys)]
}
