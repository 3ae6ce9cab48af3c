// Flows, waits and signals as the contract tells of them, in plain objects: what each action must be answered. Written from the contract, not from the code.

import type { JsonValue } from '../../src/domain/json.ts'
import type { BranchSpec, TimeoutAction } from '../../src/domain/wait.ts'

/** A branch of a wait, in hours where it is a timer: from when its wait begins. */
export type ModelBranch = Exclude<BranchSpec, { kind: 'timer' }> | { kind: 'timer'; hours: number }

export interface ModelWait {
  kind: 'single' | 'any' | 'all'
  of: ModelBranch[]
  timeout: { hours: number; action: TimeoutAction } | null
}

export type Action =
  | { type: 'wait'; flow: number; wait: ModelWait }
  | {
      type: 'signal'
      flow: number | null
      topic: string
      correlation_id: string
      payload: number
      sender: string | null
      keep: boolean
      all: boolean
    }
  | {
      type: 'named'
      flow: number
      name: string
      payload: number
      sender: string | null
      keep: boolean
    }
  | { type: 'resume' | 'cancel' | 'request_cancel'; flow: number }
  | { type: 'redeliver'; nth: number }
  | { type: 'tick'; hours: number }

type Status = 'running' | 'waiting' | 'failed' | 'cancelled'

interface Present extends ModelWait {
  satisfied: boolean[]
  /** When it began, in hours, and its place among all waits. */
  since: number
  place: number
}

export interface ModelFlow {
  status: Status
  revision: number
  state: Record<string, JsonValue>
  wait: Present | null
  cancelling: boolean
  /** When it last changed, in hours: its time never goes back. */
  clock: number
}

interface ModelSignal {
  by: { topic: string; correlation_id: string } | { name: string }
  flow: number | null
  payload: number
  all: boolean
  fate: 'buffered' | 'delivered'
}

/** An answer, comparable: what is said, who was woken at which revision, and how the flow is. */
export interface ModelAnswer {
  said: string
  woken: { flow: number; revision: number }[]
}

export interface Model {
  flows: ModelFlow[]
  signals: ModelSignal[]
  act(action: Action): ModelAnswer
}

const answer = (said: string, woken: ModelAnswer['woken'] = []): ModelAnswer => ({ said, woken })

export function createModel(count: number): Model {
  const flows: ModelFlow[] = Array.from({ length: count }, () => ({
    status: 'running',
    revision: 1,
    state: {},
    wait: null,
    cancelling: false,
    clock: 0,
  }))
  const signals: ModelSignal[] = []
  const senders = new Set<string>()
  let places = 0

  const ended = (flow: ModelFlow) => flow.status === 'failed' || flow.status === 'cancelled'
  const refusal = (flow: ModelFlow) =>
    ended(flow) ? 'already_terminal' : flow.cancelling ? 'cancel_pending' : null

  function change(flow: ModelFlow, status: Status, at = flow.clock): void {
    flow.revision++
    flow.status = status
    flow.clock = Math.max(at, flow.clock)
    if (status !== 'waiting') flow.wait = null
  }

  function fits(branch: ModelBranch, by: ModelSignal['by']): boolean {
    if ('name' in by) {
      return branch.kind === 'manual' && (branch.signal === undefined || branch.signal === by.name)
    }
    return (
      branch.kind === 'external_event' &&
      branch.topic === by.topic &&
      branch.correlation_id === by.correlation_id
    )
  }

  /** The first open branch of a flow's wait that something is for; -1 for none. */
  function openFor({ wait }: ModelFlow, by: ModelSignal['by']): number {
    return wait?.of.findIndex((branch, i) => !wait.satisfied[i] && fits(branch, by)) ?? -1
  }

  /** Satisfies a branch: ends the wait, or an `all` wait goes on. */
  function satisfy(flow: ModelFlow, index: number, payload: number | null, at?: number): void {
    const { wait } = flow
    if (wait === null) return
    wait.satisfied[index] = true
    const over = wait.kind !== 'all' || !wait.satisfied.includes(false)
    if (payload !== null && wait.kind === 'all') {
      const before =
        (flow.state['resume_events'] as JsonValue[] | undefined) ?? wait.of.map(() => null)
      flow.state['resume_events'] = before.map((one, i) => (i === index ? payload : one))
    }
    if (payload !== null && over) flow.state['resume_event'] = payload
    change(flow, over ? 'running' : 'waiting', at)
  }

  function deliver(signal: ModelSignal): ModelAnswer['woken'] {
    const candidates = flows
      .map((flow, n) => ({ flow, n }))
      .filter(({ n }) => signal.flow === null || signal.flow === n)
      .filter(({ flow }) => !flow.cancelling && openFor(flow, signal.by) >= 0)
      .sort((a, b) => (a.flow.wait?.place ?? 0) - (b.flow.wait?.place ?? 0))
    const woken = (signal.all ? candidates : candidates.slice(0, 1)).map(({ flow, n }) => {
      satisfy(flow, openFor(flow, signal.by), signal.payload)
      return { flow: n, revision: flow.revision }
    })
    if (woken.length > 0) signal.fate = 'delivered'
    return woken
  }

  function send(signal: ModelSignal, sender: string | null, keep: boolean): ModelAnswer {
    if (sender !== null && senders.has(sender)) return answer('duplicate')
    const flow = signal.flow === null ? undefined : flows[signal.flow]
    const refused = flow === undefined ? null : refusal(flow)
    if (refused !== null) return answer(refused)
    const woken = deliver(signal)
    if (woken.length === 0 && !keep) return answer('unmatched')
    if (sender !== null) senders.add(sender)
    signals.push(signal)
    return answer(signal.fate, woken)
  }

  function begin(flow: ModelFlow, n: number, wait: ModelWait): ModelAnswer {
    const refused = refusal(flow) ?? (flow.status === 'running' ? null : 'illegal_transition')
    if (refused !== null) return answer(refused)
    change(flow, 'waiting')
    if (wait.kind === 'all') delete flow.state['resume_events']
    const satisfied = wait.of.map(() => false)
    flow.wait = { ...wait, satisfied, since: flow.clock, place: places++ }
    // The longest kept that is for one of its branches, again and again.
    for (;;) {
      const signal = signals.find(
        ({ fate, by, flow: aim }) =>
          fate === 'buffered' && (aim === null || aim === n) && openFor(flow, by) >= 0,
      )
      if (signal === undefined) return answer('changed')
      satisfy(flow, openFor(flow, signal.by), signal.payload)
      signal.fate = 'delivered'
    }
  }

  /** Lets time act once on a flow. */
  function fire(flow: ModelFlow, now: number): void {
    const { wait } = flow
    if (wait === null || flow.status !== 'waiting') return
    if (flow.cancelling) {
      change(flow, 'cancelled', now)
      return
    }
    const timers = wait.of.flatMap((branch, i) =>
      branch.kind === 'timer' && !wait.satisfied[i] ? [{ i, at: wait.since + branch.hours }] : [],
    )
    const first = timers.sort((a, b) => a.at - b.at || a.i - b.i)[0]
    const limit = wait.timeout === null ? null : wait.since + wait.timeout.hours
    if (first !== undefined && first.at <= now && (limit === null || first.at <= limit)) {
      satisfy(flow, first.i, null, now)
    } else if (limit !== null && limit <= now) {
      if (wait.timeout?.action === 'fail') flow.state['failure'] = 'told'
      const next = { resume: 'running', fail: 'failed', cancel: 'cancelled' } as const
      change(flow, next[wait.timeout?.action ?? 'resume'], now)
    }
  }

  return {
    flows,
    signals,
    act(action) {
      if (action.type === 'tick') {
        for (const flow of flows) fire(flow, action.hours)
        return answer('done')
      }
      if (action.type === 'redeliver') {
        const signal = signals[action.nth % Math.max(1, signals.length)]
        if (signal === undefined) return answer('not_found')
        const woken =
          signal.fate === 'delivered' ||
          (signal.flow !== null && ended(flows[signal.flow] as ModelFlow))
            ? []
            : deliver(signal)
        return answer(signal.fate, woken)
      }
      if (action.type === 'signal') {
        const { topic, correlation_id, flow, payload, all, sender, keep } = action
        const by = { topic, correlation_id }
        const name = sender === null ? null : `${correlation_id} ${sender}`
        return send({ by, flow, payload, all, fate: 'buffered' }, name, keep)
      }
      const flow = flows[action.flow] as ModelFlow
      if (action.type === 'named') {
        const { name, payload, sender, keep } = action
        const from = sender === null ? null : `flow ${action.flow} ${sender}`
        const signal: ModelSignal = {
          by: { name },
          flow: action.flow,
          payload,
          all: false,
          fate: 'buffered',
        }
        return send(signal, from, keep)
      }
      if (action.type === 'wait') return begin(flow, action.flow, action.wait)
      if (action.type === 'cancel') {
        if (ended(flow)) return answer('already_terminal')
        change(flow, 'cancelled')
        return answer('changed')
      }
      if (action.type === 'request_cancel') {
        if (ended(flow)) return answer('already_terminal')
        if (flow.cancelling) return answer('unchanged')
        flow.revision++
        flow.cancelling = true
        return answer('changed')
      }
      const refused = refusal(flow) ?? (flow.status === 'waiting' ? null : 'illegal_transition')
      if (refused !== null) return answer(refused)
      change(flow, 'running')
      return answer('changed')
    },
  }
}
