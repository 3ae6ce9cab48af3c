// Flows, steps, signals and events as lines for people.

import type { FlowEventPage } from '../contract/event.ts'
import type { WireExplanation } from '../contract/explain.ts'
import type { Flow } from '../contract/flow.ts'
import type { Signal } from '../contract/signal.ts'
import type { Step } from '../contract/step.ts'
import { commandOf } from './next.ts'
import type { Column } from './table.ts'
import { harmless, oneLine } from './terminal.ts'

type FlowEvent = FlowEventPage['items'][number]
type Wait = Flow['wait']

/** Names in front of values, one pair a line. Values of null are left out. */
export function fields(pairs: readonly (readonly [string, string | null])[]): string[] {
  const told = pairs.filter((pair): pair is readonly [string, string] => pair[1] !== null)
  const width = Math.max(...told.map(([name]) => name.length)) + 2
  return told.map(([name, value]) => name.padEnd(width) + oneLine(value))
}

/** What a wait waits for, in a few words. */
function waitWords(wait: Wait): string {
  if (wait === null) return ''
  switch (wait.kind) {
    case 'timer':
      return `until ${wait.at}`
    case 'external_event':
      return `${wait.topic} ${wait.correlation_id}`
    case 'manual':
      return wait.signal == null ? 'a person' : `a person: ${wait.signal}`
    case 'any':
    case 'all':
      return `${wait.kind} of ${wait.of.length}`
    default:
      return 'something'
  }
}

export const flowColumns: readonly Column<Flow>[] = [
  { title: 'ID', text: ({ id }) => id },
  { title: 'STATUS', text: ({ status }) => status },
  { title: 'CONTROLLER', text: ({ controller_id }) => controller_id, shrinks: true },
  { title: 'STEP', text: ({ current_step }) => current_step, shrinks: true },
  { title: 'WAITS FOR', text: ({ wait }) => waitWords(wait), shrinks: true },
  { title: 'GOAL', text: ({ goal }) => goal, shrinks: true },
  { title: 'CREATED', text: ({ created_at }) => created_at },
]

export function flowWords(flow: Flow): string[] {
  const labels = Object.entries(flow.labels).map(([name, value]) => `${name}=${value}`)
  return fields([
    ['id', flow.id],
    ['status', flow.cancel_requested ? `${flow.status}, cancel requested` : flow.status],
    ['waits for', flow.wait === null ? null : waitWords(flow.wait)],
    ['goal', flow.goal],
    ['controller', flow.controller_id],
    ['step', flow.current_step],
    ['owner', flow.owner_session_key],
    ['requester', flow.requester_origin],
    ['key', flow.key],
    ['labels', labels.length === 0 ? null : labels.join(' ')],
    ['revision', String(flow.revision)],
    ['created', flow.created_at],
    ['updated', flow.updated_at],
    ['closed', flow.closed_at],
    ['state', JSON.stringify(flow.state)],
  ])
}

export const stepColumns: readonly Column<Step>[] = [
  { title: 'ID', text: ({ id }) => id },
  { title: 'STATUS', text: ({ status }) => status },
  { title: 'TASK', text: ({ task }) => task, shrinks: true },
  { title: 'RUN', text: ({ run_id }) => run_id, shrinks: true },
  {
    title: 'ATTEMPT',
    text: ({ attempt, max_attempts }) => `${attempt}/${max_attempts ?? '-'}`,
  },
  { title: 'ERROR', text: ({ error }) => error?.message ?? '', shrinks: true },
  { title: 'FLOW', text: ({ flow_id }) => flow_id },
]

export function stepWords(step: Step): string[] {
  return fields([
    ['id', step.id],
    ['flow', step.flow_id],
    ['run', step.run_id],
    ['task', step.task],
    ['status', step.status],
    ['runtime', step.runtime],
    ['attempt', `${step.attempt} of ${step.max_attempts ?? 'any number'}`],
    ['worker', step.worker_id],
    ['lease until', step.lease_until],
    ['updated', step.updated_at],
    ['error', step.error === null ? null : JSON.stringify(step.error)],
    ['result', step.result === null ? null : JSON.stringify(step.result)],
  ])
}

export const signalColumns: readonly Column<Signal>[] = [
  { title: 'ID', text: ({ id }) => id },
  { title: 'OUTCOME', text: ({ outcome }) => outcome },
  { title: 'TOPIC', text: ({ topic, name }) => topic ?? name ?? '', shrinks: true },
  { title: 'CORRELATION', text: ({ correlation_id }) => correlation_id ?? '', shrinks: true },
  { title: 'RECEIVED', text: ({ received_at }) => received_at },
  { title: 'EXPIRES', text: ({ expires_at }) => expires_at ?? '' },
]

export const eventColumns: readonly Column<FlowEvent>[] = [
  { title: 'REV', text: ({ revision }) => String(revision) },
  { title: 'KIND', text: ({ kind }) => kind },
  { title: 'AT', text: ({ at }) => at },
  { title: 'ACTOR', text: ({ actor }) => actor, shrinks: true },
  { title: 'PAYLOAD', text: ({ payload }) => JSON.stringify(payload), shrinks: true },
]

/** One event in one line, for a stream. */
export function eventLine(event: FlowEvent): string {
  const { revision, kind, at, actor, payload } = event
  const words = [kind.padEnd(15), oneLine(actor), oneLine(JSON.stringify(payload))]
  return `${at}  ${String(revision).padStart(4)}  ${words.join('  ')}`
}

/** Why a flow stands still, and the commands that move it. */
export function explanationWords(explanation: WireExplanation): string[] {
  const { summary, next_actions, automatic, near_misses } = explanation
  const lines = [harmless(summary)]
  if (automatic !== null) {
    const running = automatic.engine_running
      ? ''
      : ', by another process: the wait engine of this one does not run'
    lines.push(
      '',
      `By itself: ${automatic.change} at ${automatic.at}, by ${automatic.by}${running}`,
    )
  }
  if (next_actions.length > 0) lines.push('', 'What moves it:')
  for (const action of next_actions) {
    lines.push(`  ${harmless(commandOf(action))}`)
    if (action.note != null) lines.push(`      ${oneLine(action.note)}`)
  }
  if (near_misses.length > 0) lines.push('', 'Signals that almost matched:')
  for (const { signal_id, difference, outcome } of near_misses) {
    lines.push(`  ${signal_id}  ${outcome}  ${oneLine(difference)}`)
  }
  return lines
}
