// Why a flow does not move, in plain words.

import type { Automatic, Blocker, linkStates, OpenStep } from './explain.ts'
import type { JsonValue } from './json.ts'
import type { NearMiss } from './near-miss.ts'
import { inWords, millisBetween, type Timestamp } from './time.ts'
import type { Branch, Wait } from './wait.ts'

export function tellBlocker(blocker: Blocker, since: Timestamp, now: Timestamp): string {
  const span = inWords(Math.max(0, millisBetween(since, now)))
  switch (blocker.kind) {
    case 'not_started':
      return `It was created ${span} ago, and nobody has started it.`
    case 'controller': {
      const steps = tellSteps(blocker.open_steps, now)
      return blocker.open_steps.some(({ runtime }) => runtime === 'managed')
        ? `It runs, and nothing has changed for ${span}.${steps}`
        : `It runs: what comes next is up to its controller ${JSON.stringify(blocker.controller_id)}, and nothing has changed for ${span}.${steps}`
    }
    case 'dead_steps':
      return `It runs, but ${tellDead(blocker.steps)}: somebody must decide, and nothing has changed for ${span}.`
    case 'wait':
      return `It has waited for ${span}: ${tellWait(blocker.wait, blocker.open)}.${tellLink(blocker.link)}`
    case 'overdue':
      return `It was due ${span} ago, at ${blocker.due_at}, and the wait engine has not fired it.`
    case 'cancel_requested':
      return `A cancel was requested ${span} ago${tellCanceller[blocker.carried_out_by]}`
    case 'set_aside':
      return `It was set aside ${span} ago, because ${blocker.reason}: the clock leaves it alone.`
    case 'ended':
      return `It is ${blocker.status} since ${since}, by ${blocker.by ?? 'somebody'}: ${
        blocker.dead_step === null
          ? 'nothing moves it any more.'
          : `it can only be reopened, at its step ${JSON.stringify(blocker.dead_step.run_id)}.`
      }`
  }
}

const tellCanceller = {
  service: ', and the next tick carries it out.',
  steps: ': it ends when its running steps have reported.',
  controller: ': only its controller can carry it out, by cancel.',
} as const

function tellSteps(steps: readonly OpenStep[], now: Timestamp): string {
  // A managed one says more of what will happen than one that is only watched.
  const first = steps.find(({ runtime }) => runtime === 'managed') ?? steps[0]
  if (first === undefined) return ''
  const others = steps.length > 1 ? `, and ${steps.length - 1} more` : ''
  return ` Its step ${JSON.stringify(first.run_id)} ${tellStep(first, now)}${others}.`
}

function tellStep(step: OpenStep, now: Timestamp): string {
  const { runtime, status, run_at, attempt } = step
  if (runtime === 'mirrored') return `is ${status}`
  if (status === 'running') {
    return `is run by worker ${JSON.stringify(step.worker_id)}, who has it until ${step.lease_until}`
  }
  if (run_at !== null && run_at > now) {
    return attempt > 0 ? `is tried again at ${run_at}` : `is to be run at ${run_at}`
  }
  return `waits for a worker to claim it, task ${JSON.stringify(step.task)}`
}

function tellDead(steps: readonly OpenStep[]): string {
  const [first] = steps
  const others = steps.length > 1 ? `, and ${steps.length - 1} more` : ''
  return `its step ${JSON.stringify(first?.run_id ?? '')} is dead${tellError(first?.error ?? null)}${others}`
}

/** Longest part of a message that is told, in characters. */
const maxMessage = 200

function tellError(error: JsonValue): string {
  if (typeof error !== 'object' || error === null || Array.isArray(error)) return ''
  const { message } = error
  return typeof message === 'string' ? ` (${message.slice(0, maxMessage)})` : ''
}

function tellWait(wait: Wait, open: readonly Branch[]): string {
  const things = open.map(tellBranch)
  if (wait.kind === 'any') return `for the first of ${things.join(', or ')}`
  if (wait.kind === 'all') {
    return `for ${open.length} of ${wait.of.length} things that are still open, ${things.join(', and ')}`
  }
  return `for ${things[0]}`
}

function tellBranch(branch: Branch): string {
  switch (branch.kind) {
    case 'timer':
      return `the time ${branch.at}`
    case 'external_event':
      return `a signal with topic ${JSON.stringify(branch.topic)} and correlation_id ${JSON.stringify(branch.correlation_id)}`
    case 'manual':
      return branch.signal === undefined
        ? 'a signal of any name'
        : `a signal named ${JSON.stringify(branch.signal)}`
  }
}

function tellLink(link: (typeof linkStates)[number]): string {
  if (link === 'none') return ''
  return link === 'open'
    ? ' A link can end the wait.'
    : ' The link that could end the wait has expired.'
}

export function tellAutomatic(
  { change, by, at }: Automatic,
  now: Timestamp,
  running: boolean,
): string {
  const what = {
    resumed: 'it goes on',
    wait_progressed: 'one branch of its wait is satisfied',
    failed: 'it fails',
    cancelled: 'it is cancelled',
  }[change]
  const cause = by === 'timeout' ? ', because the wait times out' : ''
  const ahead = millisBetween(now, at)
  const when = ahead > 0 ? `In ${inWords(ahead)}, at ${at},` : 'With the next tick'
  const stopped = running ? '' : ' The wait engine of this process does not run.'
  return `${when} ${what}${cause}.${stopped}`
}

export function tellNearest(misses: readonly NearMiss[]): string[] {
  const [first] = misses
  if (first === undefined) return []
  const many =
    misses.length === 1
      ? 'One signal almost matched'
      : `${misses.length} signals almost matched; the nearest`
  return [`${many}: ${first.difference}.`]
}
