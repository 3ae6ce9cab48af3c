// What is told of a transaction that committed, to those who wait for changes and for steps.

import type { DecidedFlow } from '../domain/command.ts'
import type { FlowEvent } from '../domain/event.ts'
import type { StepRecord } from '../domain/step.ts'
import type { Timestamp } from '../domain/time.ts'
import type { Saved } from '../store/batch.ts'
import type { Plan } from './batch.ts'

/** A committed change, as told to those who wait for one. */
export interface Change {
  flow: DecidedFlow
  /** What the transaction appended to the flow's log, oldest first. Sorted out when it is first asked for. */
  events(): FlowEvent[]
  /** The database's time of the transaction. */
  now: Timestamp
}

/** What a transaction did, beside what it changed. */
export interface Committed {
  /** All that it appended to the logs of flows. */
  events: readonly FlowEvent[]
  /** Whether there is something to deliver. */
  deliveries: boolean
}

/** Called after each COMMIT. Must not throw. */
export type ChangeListener = (changes: Change[], more: Committed) => void
/** Called after each COMMIT that made steps or changed them; with null when it is not known which. */
export type StepListener = (steps: readonly StepRecord[] | null) => void

/** Tells of a plan that was saved. */
export function announce(
  { changes: { updates, update_events, inserts, insert_events, ...changes } }: Plan,
  saved: Saved,
  listeners: readonly ChangeListener[],
  stepListeners: readonly StepListener[],
): void {
  const { now } = changes
  // One whose key another replica took meanwhile did not come in, and nor did its events.
  const born = inserts.filter(({ id }) => saved.inserted.has(id))
  const events = [
    ...update_events,
    ...(born.length === inserts.length
      ? insert_events
      : insert_events.filter(({ flow_id }) => saved.inserted.has(flow_id))),
  ]
  let sorted: Map<string, FlowEvent[]> | null = null
  const eventsOf = (id: string) => {
    sorted ??= byFlow(events)
    return sorted.get(id) ?? []
  }
  const told: Change[] = []
  for (const { flow } of updates) told.push({ now, flow, events: () => eventsOf(flow.id) })
  for (const flow of born) told.push({ now, flow, events: () => eventsOf(flow.id) })
  if (told.length > 0) {
    const more = { events, deliveries: saved.queued !== 0 }
    for (const listener of listeners) listener(told, more)
  }
  const { new_steps, steps, start_steps } = changes
  if (start_steps.length > 0) for (const tell of stepListeners) tell(null)
  else if (new_steps.length + steps.length > 0) {
    const all = [...new_steps, ...steps]
    for (const tell of stepListeners) tell(all)
  }
}

function byFlow(events: readonly FlowEvent[]): Map<string, FlowEvent[]> {
  const sorted = new Map<string, FlowEvent[]>()
  for (const event of events) {
    const known = sorted.get(event.flow_id)
    if (known === undefined) sorted.set(event.flow_id, [event])
    else known.push(event)
  }
  return sorted
}
