// One flow with its managed steps, lived through without a database: what decisions and store passes do to
// them, with the laws that must hold after each. Written by the wire contract.

import fc from 'fast-check'
import type { Command, Decision } from '../../src/domain/command.ts'
import { createFlow } from '../../src/domain/create.ts'
import type { decide } from '../../src/domain/decide.ts'
import { FlowError } from '../../src/domain/errors.ts'
import type { FlowEvent } from '../../src/domain/event.ts'
import { type FlowRecord, isTerminal } from '../../src/domain/flow.ts'
import type { StepOutcome } from '../../src/domain/outcome.ts'
import type { AttemptRecord, StepRecord } from '../../src/domain/step.ts'
import {
  attemptOf,
  rankOf,
  retried,
  scheduled,
  stepDue,
  wakeOf,
} from '../../src/domain/step-life.ts'
import { after } from '../../src/domain/time.ts'
import { id, later, limits, newFlow, place } from './flow-samples.ts'
import { fold, shownOf } from './fold.ts'

export type Decide = typeof decide

/** What can happen. `pick` chooses a step, `token` whether the newest claim's token is shown or an older one. */
export interface Act {
  what:
    | 'start'
    | 'enqueue'
    | 'claim'
    | 'heartbeat'
    | 'sweep'
    | 'expire'
    | 'settle'
    | 'repeat'
    | 'retry'
    | 'resolve'
    | 'reopen'
    | 'signal'
    | 'fire'
    | 'request_cancel'
    | 'cancel'
    | 'fail'
  pick: number
  old: boolean
  kind: StepOutcome['kind']
  ms: number
  retryable: boolean
  park: boolean
  random: number
}

const kinds = ['continue', 'wait', 'succeed', 'fail', 'cancel', 'complete', 'error'] as const

export const acts: fc.Arbitrary<Act[]> = fc.array(
  fc.record({
    what: fc.constantFrom(
      ...([
        'start',
        'enqueue',
        'enqueue',
        'enqueue',
        'claim',
        'claim',
        'claim',
        'heartbeat',
      ] as const),
      ...(['sweep', 'expire', 'settle', 'settle', 'settle', 'repeat', 'retry', 'resolve'] as const),
      ...([
        'reopen',
        'reopen',
        'signal',
        'signal',
        'fire',
        'request_cancel',
        'cancel',
        'fail',
      ] as const),
      ...(['claim', 'claim', 'settle', 'settle', 'expire', 'retry', 'sweep', 'repeat'] as const),
    ),
    pick: fc.nat(5),
    old: fc.integer({ min: 0, max: 3 }).map((n) => n === 0),
    // What ends a flow must not come too soon.
    kind: fc.constantFrom(
      ...kinds,
      ...([
        'complete',
        'complete',
        'continue',
        'continue',
        'wait',
        'error',
        'error',
        'error',
      ] as const),
    ),
    ms: fc.constantFrom(0, 10, 500, 1_500, 20_000),
    retryable: fc.boolean(),
    park: fc.boolean(),
    random: fc.double({ min: 0, max: 0.999, noNaN: true }),
  }),
  { maxLength: 60, size: 'max' },
)

function must(condition: boolean, what: string): void {
  if (!condition) throw new Error(what)
}

/** Lives through acts and throws when a law is broken. Counts what happened. */
export function live(
  decideIt: Decide,
  script: readonly Act[],
  seen = new Map<string, number>(),
): void {
  const born = createFlow(place, { ...newFlow, start: script[0]?.old !== true }, later(0), limits)
  let flow: FlowRecord = born.flow
  const log: FlowEvent[] = [...born.events]
  const steps = new Map<string, StepRecord>()
  const attempts: AttemptRecord[] = []
  /** Tokens in the order of their claims, and the accepted reports, by step. */
  const tokens = new Map<string, string[]>()
  const accepted = new Map<string, { token: string; claims: number }>()
  let clock = 0
  let minted = 100
  const mint = () => id(minted++)
  const count = (what: string) => seen.set(what, (seen.get(what) ?? 0) + 1)

  for (const act of script) {
    clock += act.ms
    const now = later(clock)
    const all = [...steps.values()]
    const step = all[act.pick % Math.max(1, all.length)]
    const before = new Map(steps)
    const terminal = isTerminal(flow.status)
    const decision = step === undefined ? first(act, now) : any(act, step, now)
    if (decision !== null) apply(decision, now)
    judge(before, terminal, decision)
  }

  function first(act: Act, now: string): Decision | null {
    if (act.what === 'enqueue') return ask(enqueue(act), now)
    return act.what === 'start' ? ask({ type: 'start' }, now) : null
  }

  function any(act: Act, step: StepRecord, now: string): Decision | null {
    const step_id = step.id
    switch (act.what) {
      case 'enqueue':
        return ask(enqueue(act), now)
      case 'start':
      case 'fire':
      case 'cancel':
        return ask({ type: act.what }, now)
      case 'fail':
        return ask({ type: 'fail', reason: 'told so' }, now)
      case 'request_cancel': {
        const open = [...steps.values()].filter(isOpen)
        return ask({ type: 'request_cancel', open, ...(act.park && { grace: 1_000 }) }, now)
      }
      case 'signal':
        return ask(
          {
            type: 'signal',
            signal_id: id(9),
            target: { kind: 'manual', signal: 'go' },
            payload: 1,
          },
          now,
        )
      case 'claim': {
        if (!step.ready) return null
        const token = mint()
        tokens.set(step_id, [...(tokens.get(step_id) ?? []), token])
        const claimed: StepRecord = {
          ...step,
          status: 'running',
          ready: false,
          attempt: step.attempt + 1,
          claims: step.claims + 1,
          lease_token: token,
          lease_ms: 1_000,
          lease_until: after(now, 1_000),
          started_at: now,
          worker_id: 'w',
          updated_at: now,
        }
        steps.set(step_id, { ...claimed, wake_at: wakeOf(claimed) })
        count('claimed')
        return null
      }
      case 'heartbeat': {
        if (step.status !== 'running') return null
        const beaten = { ...step, lease_until: after(now, 1_000), updated_at: now }
        steps.set(step_id, { ...beaten, wake_at: wakeOf(beaten) })
        return null
      }
      case 'sweep': {
        const due = stepDue(step, now)
        if (due.type === 'promote') steps.set(step_id, scheduled(step, step.run_at ?? now, now))
        if (due.type !== 'attempt_over' || step.cancel_requested) return null
        const again = retried(step, due.outcome, due.error, now, act.random)
        if (again === null) return null
        steps.set(step_id, again)
        attempts.push(attemptOf(step, due.outcome, due.error, now))
        count('rescued')
        return null
      }
      case 'expire':
        return ask({ type: 'expire_step', step_id, random: act.random, known: step }, now)
      case 'settle':
      case 'repeat': {
        const own = tokens.get(step_id) ?? []
        const past = act.what === 'repeat' ? accepted.get(step_id)?.token : undefined
        const token = past ?? (act.old ? own.at(-2) : own.at(-1))
        if (token === undefined) return null
        return ask(
          {
            type: 'settle',
            step_id,
            token,
            hash: act.what === 'repeat' ? (step.settled_hash ?? 'h') : `h${clock}`,
            outcome: outcomeOf(act),
            defaults: null,
            random: act.random,
            known: step,
          },
          now,
          () => {
            must(token === own.at(-1), 'a report under an older token was accepted')
            if (step.status === 'cancelled') return
            must(isOpen(step), 'a report on a step that had ended was accepted')
            const known = accepted.get(step_id)
            must(known?.claims !== step.claims, 'two reports of one claim were accepted')
            accepted.set(step_id, { token, claims: step.claims })
          },
        )
      }
      case 'retry':
        return ask({ type: 'retry_step', step_id, known: step }, now)
      case 'resolve':
        return ask(
          { type: 'resolve_step', step_id, known: step, skipped: act.park, result: null },
          now,
        )
      case 'reopen':
        return ask({ type: 'reopen', step_id, known: step }, now)
    }
  }

  function enqueue(act: Act): Command {
    const run_id = `r${act.pick}`
    const known = [...steps.values()].find((one) => one.run_id === run_id) ?? null
    return {
      type: 'enqueue',
      step: {
        step_id: mint(),
        run_id,
        task: 't',
        ...(act.ms > 400 && { run_at: { after: act.ms } }),
        retry: { max_attempts: 2, base_ms: 200 },
        ...(act.pick === 1 && {
          timeouts: { schedule_to_start: 2_000, schedule_to_close: 30_000 },
        }),
        ...(act.pick === 2 && { timeouts: { start_to_close: 1_200 } }),
        on_dead: act.park ? 'park' : 'fail',
      },
      defaults: null,
      known,
    }
  }

  function outcomeOf({ kind, retryable, park }: Act): StepOutcome {
    const state_patch = park ? { state_patch: { [kind]: clock } } : {}
    switch (kind) {
      case 'continue':
        return { kind, next: { step_id: mint(), task: 'next' }, ...state_patch }
      case 'wait':
        return {
          kind,
          wait_id: mint(),
          wait: { kind: 'manual', signal: 'go', timeout: { after: 1_000 } },
          ...(retryable && { next: { step_id: mint(), task: 'after' } }),
          ...state_patch,
        }
      case 'fail':
        return { kind, reason: 'verdict', ...state_patch }
      case 'error':
        return { kind, message: 'oops', retryable, ...state_patch }
      default:
        return { kind, ...state_patch }
    }
  }

  function ask(command: Command, now: string, onAccepted?: () => void): Decision | null {
    try {
      const made = decideIt(flow, command, 'tester', now, limits)
      if (made.outcome !== 'repeated') onAccepted?.()
      count(made.outcome === 'changed' ? command.type : made.outcome)
      return made
    } catch (error) {
      if (!(error instanceof FlowError)) throw error
      count(error.code)
      return null
    }
  }

  /** What saving a decision does. */
  function apply(made: Decision, now: string): void {
    log.push(...made.events)
    flow = { ...made.flow, state: made.flow.state ?? {} }
    for (const effect of made.effects) {
      if (effect.type === 'save_step') steps.set(effect.step.id, effect.step)
      if (effect.type === 'end_attempt') attempts.push(effect.attempt)
      if (effect.type === 'close_steps') {
        for (const one of [...steps.values()].filter(isOpen)) {
          const running = one.status === 'running'
          const lease_token = running ? one.lease_token : null
          steps.set(one.id, {
            ...one,
            status: 'cancelled',
            lease_token,
            cancel_requested: running,
            ready: false,
            wake_at: null,
          })
        }
      }
      if (effect.type === 'start_steps') {
        for (const one of [...steps.values()].filter(isHeld)) {
          const run_at = (one.run_at ?? now) > now ? (one.run_at ?? now) : now
          steps.set(one.id, {
            ...one,
            run_at,
            scheduled_at: run_at,
            wake_at: run_at,
            rank: rankOf(run_at, one.priority),
          })
        }
      }
    }
  }

  function judge(
    before: ReadonlyMap<string, StepRecord>,
    terminal: boolean,
    made: Decision | null,
  ): void {
    for (const { kind } of made?.events ?? []) count(kind)
    const told = fold(log)
    const { state: _, ...shown } = shownOf(flow)
    const { state: __, ...rebuilt } = told
    must(
      JSON.stringify(sorted(shown)) === JSON.stringify(sorted(rebuilt)),
      'the log does not tell the row',
    )
    must(
      JSON.stringify(sorted(told.state)) === JSON.stringify(sorted(flow.state)),
      'the log does not tell the state',
    )
    const open = [...steps.values()].filter(isOpen)
    if (isTerminal(flow.status)) {
      must(flow.open_steps === 0, 'an ended flow counts open steps')
      must(open.length === 0, 'an ended flow has open steps')
    } else {
      must(
        flow.open_steps === open.length,
        `counts ${flow.open_steps} open steps of ${open.length}`,
      )
    }
    if (flow.cancel_requested) {
      must(
        open.every(({ status }) => status === 'running'),
        'a step is pending after a requested cancel',
      )
      const stays = flow.status === 'running' && open.length === 0 && flow.wake_at === null
      must(
        !stays ||
          ![...log].some(
            ({ kind, payload }) => kind === 'step_settled' && payload['discarded'] === true,
          ),
        'nothing ends a flow whose last running step has settled',
      )
    }
    if (terminal && made !== null && !made.events.some(({ kind }) => kind === 'reopened')) {
      must(made.events.length === 0, 'an ended flow changed because of a step')
    }
    for (const step of steps.values()) {
      const was = before.get(step.id)
      must(
        step.wake_at === wakeOf(step) ||
          step.cancel_requested ||
          step.scheduled_at === null ||
          step.status === 'pending',
        'wakes at another time than it is due',
      )
      must(
        !step.ready || (step.status === 'pending' && step.rank !== null),
        'ready, and not pending',
      )
      must(step.status !== 'running' || step.lease_token !== null, 'running without a lease')
      must(
        isOpen(step) ||
          (step.wake_at === null && (step.lease_token === null || step.status === 'cancelled')),
        'ended, and still due',
      )
      must(step.attempt <= step.max_attempts, 'more attempts than it may have')
      if (was !== undefined && !isOpen(was) && isOpen(step)) {
        must(
          made?.events.some(({ kind }) => kind === 'step_enqueued') === true,
          'came back in silence',
        )
      }
    }
    const rows = attempts.map(({ step_id, claim }) => `${step_id}/${claim}`)
    must(new Set(rows).size === rows.length, 'one attempt ended twice')
  }
}

function isOpen({ status }: StepRecord): boolean {
  return status === 'pending' || status === 'running'
}

function isHeld({ status, scheduled_at }: StepRecord): boolean {
  return status === 'pending' && scheduled_at === null
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, member]) => [name, sorted(member)]),
  )
}
