// Who waits for steps, and the claims that serve them. Claims that ask for the same go to the database
// as one, so that many waiting workers cost no more than one.

import type { StepRecord } from '../domain/step.ts'
import { type Scope, writerOf } from '../store/db.ts'
import type { ReadyGroup } from '../store/due-steps.ts'
import { toFlowError } from '../store/errors.ts'
import { releaseStep } from '../store/step-leases.ts'
import {
  type ClaimedStep,
  type ClaimFilter,
  type ClaimSlot,
  claimSteps,
  type GroupPlace,
} from '../store/step-queue.ts'
import type { Caller } from './change.ts'
import type { Committer } from './committer.ts'
import { type Hints, hintKey } from './hints.ts'
import { createLoop } from './loop.ts'
import type { Report } from './notice.ts'

export type { ClaimedStep } from '../store/step-queue.ts'

export interface ClaimRequest {
  worker_id: string
  /** Any when absent. */
  controllers?: string[]
  tasks?: string[]
  /** Steps at most. */
  max: number
  /** How long they are the worker's without a heartbeat, in milliseconds. */
  lease: number
  /** How long to wait for the first, in milliseconds; 0: not at all. */
  wait: number
}

export interface StepClaims {
  /** Resolves with steps as soon as there are any; with none when the time is over or the signal aborts. */
  claim(caller: Caller, request: ClaimRequest, signal: AbortSignal): Promise<ClaimedStep[]>
  /** Tells that there may be steps to claim; null: anywhere. */
  nudge(groups: readonly ReadyGroup[] | null): void
  /** Claims that wait. */
  waiting(): number
  start(): void
  stop(): Promise<void>
}

/** Steps claimed by one statement. */
const slotsAtOnce = 256
/** Statements at once. */
export const claimLanes = 2
/** Controllers whose turn is remembered. */
const rememberedTurns = 256
/** Between two looks that nobody asked for, in milliseconds: for what other processes made ready. */
const lookEvery = 1_000

interface Waiting {
  request: ClaimRequest
  settled: boolean
  settle(steps: ClaimedStep[]): void
  fail(error: unknown): void
}

/** Claims that ask for the same, in the order in which they came. */
interface Line {
  filter: ClaimFilter
  claims: Waiting[]
  /** Where the next look begins in the circle of groups. */
  after: GroupPlace | null
  looking: boolean
  /** Something may have become ready since the look began. */
  again: boolean
  /** When the last look began, if it left nothing behind and nobody has told of anything since. */
  emptyAt: number | null
}

/** @param onClaimed told of the shortest lease that was given, in milliseconds. */
export function createStepClaims(
  scope: Scope,
  committer: Committer,
  hints: Hints,
  report: Report,
  onClaimed: (leaseMs: number) => void,
): StepClaims {
  const lines = new Map<string, Line>()
  /** By namespace: controllers in the order of their last turn, the longest ago first. */
  const turns = new Map<string, Set<string>>()
  let stopping = false
  let busy = 0
  const queued = new Set<Line>()

  committer.onSteps((steps) => {
    const ready = steps?.filter(isReady) ?? null
    if (ready !== null && ready.length === 0) return
    nudge(ready)
    hints.publish('steps', ready === null ? ['*'] : ready.map(groupKey))
  })
  hints.subscribe('steps', (keys) => {
    for (const line of lines.values()) if (mayConcern(line.filter, keys)) look(line)
  })

  function nudge(groups: readonly ReadyGroup[] | null): void {
    for (const line of lines.values()) {
      if (groups === null || groups.some((group) => concerns(line.filter, group))) look(line)
    }
  }

  /** Has a line looked at, now or as soon as the look under way is over. */
  function look(line: Line): void {
    line.emptyAt = null
    if (line.looking) {
      line.again = true
      return
    }
    if (line.claims.length === 0) return
    queued.add(line)
    run()
  }

  /**
   * Whether a claim that waits can do without a look of its own: it is no worse off than those that have
   * waited since the last one, which are looked for once a second.
   */
  function isKnownEmpty({ emptyAt }: Line): boolean {
    return emptyAt !== null && performance.now() - emptyAt < lookEvery
  }

  function run(): void {
    for (const line of queued) {
      if (busy >= claimLanes) return
      queued.delete(line)
      line.looking = true
      busy++
      void serve(line).finally(() => {
        line.looking = false
        busy--
        if (line.again) look(line)
        run()
      })
    }
  }

  /** One look: once around the circle of groups, or until everybody has something. */
  async function serve(line: Line): Promise<void> {
    line.again = false
    const began = performance.now()
    const start = line.after
    let wrapped = start === null
    try {
      for (;;) {
        const asked = line.claims.filter(({ settled }) => !settled)
        line.claims = asked
        if (asked.length === 0) return
        const slots = slotsFor(asked)
        const { steps, more } = await claimSteps(writerOf(scope, line.filter.namespace), {
          ...line.filter,
          slots: slots.map(({ slot }) => slot),
          after: line.after,
          served: [...(turns.get(line.filter.namespace) ?? [])],
        })
        hand(line, slots, steps)
        line.after = more
        // Where these came from, there may be more.
        if (steps.length === slots.length) continue
        if (more === null) {
          if (wrapped) break
          wrapped = true
        } else if (wrapped && (start === null || isBehind(more, start))) break
      }
      if (!line.again) line.emptyAt = began
      // Those that would not wait have had their look.
      for (const claim of line.claims) if (claim.request.wait === 0) claim.settle([])
    } catch (error) {
      for (const claim of line.claims) claim.fail(toFlowError(error))
    } finally {
      line.claims = line.claims.filter(({ settled }) => !settled)
    }
  }

  /** Gives steps to those whose slots they were claimed for. Nobody waits for more once there is one. */
  function hand(
    line: Line,
    slots: readonly { claim: Waiting }[],
    steps: readonly (ClaimedStep & { slot: number })[],
  ): void {
    const given = new Map<Waiting, ClaimedStep[]>()
    if (steps.length > 0) onClaimed(Math.min(...steps.map(({ lease_ms }) => lease_ms ?? 0)))
    for (const step of steps) {
      const claim = slots[step.slot]?.claim
      remember(line.filter.namespace, step.controller_id)
      if (claim === undefined || claim.settled) {
        giveBack(step)
        continue
      }
      const own = given.get(claim)
      if (own === undefined) given.set(claim, [step])
      else own.push(step)
    }
    for (const [claim, own] of given) claim.settle(own)
  }

  /** The worker went away while its step was claimed. */
  function giveBack(step: ClaimedStep): void {
    const { namespace, id: step_id, lease_token } = step
    if (lease_token === null) return
    const given = { namespace, step_id, token: lease_token, delay: 0 }
    releaseStep(writerOf(scope, namespace), given).then(
      () => nudge([step]),
      // Its lease ends by itself.
      () => {},
    )
  }

  function remember(namespace: string, controller: string): void {
    const served = turns.get(namespace) ?? new Set()
    turns.set(namespace, served)
    served.delete(controller)
    served.add(controller)
    if (served.size > rememberedTurns)
      for (const oldest of served) return void served.delete(oldest)
  }

  const loop = createLoop({
    name: 'step-claims',
    interval: lookEvery,
    report,
    async pass() {
      for (const [key, line] of lines) {
        // Kept until now for what was known of it.
        if (line.claims.length === 0 && !line.looking) lines.delete(key)
        else look(line)
      }
      return lookEvery
    },
  })

  return {
    nudge,
    waiting: () => [...lines.values()].reduce((sum, { claims }) => sum + claims.length, 0),
    claim({ namespace }, request, signal) {
      if (signal.aborted || stopping) return Promise.resolve([])
      return new Promise((resolve, reject) => {
        const { controllers = null, tasks = null } = request
        const filter: ClaimFilter = { namespace, controllers, tasks, pushed: false }
        const key = keyOf(filter)
        let line = lines.get(key)
        if (line === undefined) {
          line = { filter, claims: [], after: null, looking: false, again: false, emptyAt: null }
          lines.set(key, line)
        }
        const end = (finish: () => void) => {
          if (claim.settled) return
          claim.settled = true
          clearTimeout(timer)
          signal.removeEventListener('abort', giveUp)
          finish()
        }
        const claim: Waiting = {
          request,
          settled: false,
          settle: (steps) => end(() => resolve(steps)),
          fail: (error) => end(() => reject(error)),
        }
        const giveUp = () => claim.settle([])
        const timer = request.wait > 0 ? setTimeout(giveUp, request.wait) : undefined
        signal.addEventListener('abort', giveUp)
        line.claims.push(claim)
        if (request.wait === 0 || !isKnownEmpty(line)) look(line)
      })
    },
    start() {
      stopping = false
      loop.start()
    },
    async stop() {
      stopping = true
      await loop.stop()
      for (const { claims } of lines.values()) for (const claim of claims) claim.settle([])
    },
  }
}

/** Slots by turns: each claim gets one before any gets its second. */
function slotsFor(claims: readonly Waiting[]): { claim: Waiting; slot: ClaimSlot }[] {
  const slots: { claim: Waiting; slot: ClaimSlot }[] = []
  for (let turn = 0; slots.length < slotsAtOnce; turn++) {
    const before = slots.length
    for (const claim of claims) {
      const { worker_id, lease, max } = claim.request
      if (max > turn && slots.length < slotsAtOnce) {
        slots.push({ claim, slot: { worker_id, lease_ms: lease } })
      }
    }
    if (slots.length === before) break
  }
  return slots
}

function isBehind(one: GroupPlace, other: GroupPlace): boolean {
  return one.controller_id === other.controller_id
    ? one.task >= other.task
    : one.controller_id > other.controller_id
}

function isReady(step: StepRecord): boolean {
  return step.ready
}

function keyOf({ namespace, controllers, tasks }: ClaimFilter): string {
  return JSON.stringify([namespace, controllers, tasks])
}

function groupKey({ namespace, controller_id, task }: ReadyGroup): string {
  return JSON.stringify([namespace, controller_id, task])
}

function concerns({ namespace, controllers, tasks }: ClaimFilter, group: ReadyGroup): boolean {
  return (
    group.namespace === namespace &&
    (controllers === null || controllers.includes(group.controller_id)) &&
    (tasks === null || tasks.includes(group.task))
  )
}

/** Whether a hint of another process may be about what a line waits for. */
function mayConcern(filter: ClaimFilter, keys: ReadonlySet<string> | null): boolean {
  const { namespace, controllers, tasks } = filter
  if (keys === null || controllers === null || tasks === null) return true
  if (keys.has(hintKey('*'))) return true
  return controllers.some((controller_id) =>
    tasks.some((task) => keys.has(hintKey(groupKey({ namespace, controller_id, task })))),
  )
}
