// Who waits for steps, and what serves them. A step that becomes ready while a claim waits for its kind is given
// to that claim in the transaction that makes it so; all others are looked for. Claims that ask for the same
// go to the database as one, so that many waiting workers cost no more than one.

import type { StepRecord } from '../domain/step.ts'
import { type Scope, writerOf } from '../store/db.ts'
import type { ReadyGroup } from '../store/due-steps.ts'
import { toFlowError } from '../store/errors.ts'
import { releaseStep } from '../store/step-leases.ts'
import { type ClaimedStep, type ClaimFilter, claimSteps } from '../store/step-queue.ts'
import type { Caller } from './change.ts'
import {
  type ClaimLine,
  type ClaimRequest,
  claimsBehind,
  concerns,
  endWait,
  freeOf,
  groupKey,
  isBehind,
  keyOf,
  letGo,
  matchSteps,
  mayConcern,
  newLine,
  type OwnedSlot,
  slotsFor,
  type WaitingClaim,
} from './claim-lines.ts'
import { createClaimTurns } from './claim-turns.ts'
import type { Committer } from './committer.ts'
import type { Offered, Standbys } from './handover.ts'
import type { Hints } from './hints.ts'
import { createLoop } from './loop.ts'
import type { Report } from './notice.ts'
import { createStandingClaim, type StandingClaim } from './standing-claim.ts'

export interface StepClaims {
  /** Resolves with steps as soon as there are any; with none when the time is over or the signal aborts. */
  claim(caller: Caller, request: ClaimRequest, signal: AbortSignal): Promise<ClaimedStep[]>
  /** A claim beside a report, of a namespace; `requestOf` says what for, by what was reported. */
  standBy(
    namespace: string,
    requestOf: (settled: readonly StepRecord[]) => ClaimRequest | null,
  ): StandingClaim
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
/** Between two looks that nobody asked for, in milliseconds: for what other processes made ready. */
const lookEvery = 1_000
/** How long it counts what a look has seen, in milliseconds: until the next one that nobody asked for is over. */
const seenFor = 2 * lookEvery

/** @param onClaimed told of the shortest lease that a look gave, in milliseconds. */
export function createStepClaims(
  scope: Scope,
  committer: Pick<Committer, 'onOffer' | 'onSteps'>,
  hints: Pick<Hints, 'publish' | 'subscribe'>,
  report: Report,
  onClaimed: (leaseMs: number) => void,
): StepClaims {
  const lines = new Map<string, ClaimLine>()
  const turns = createClaimTurns()
  let stopping = false
  let busy = 0
  const queued = new Set<ClaimLine>()

  committer.onOffer(offer)
  committer.onSteps((steps) => {
    const ready = steps?.filter(isReady) ?? null
    if (ready !== null && ready.length === 0) return
    nudge(ready)
    hints.publish('steps', ready === null ? ['*'] : ready.map(groupKey))
  })
  hints.subscribe('steps', (keys) => {
    for (const line of lines.values()) if (mayConcern(line.filter, keys)) tell(line, null)
  })

  function nudge(groups: readonly ReadyGroup[] | null): void {
    for (const line of lines.values()) {
      const count = groups?.filter((group) => concerns(line.filter, group)).length ?? null
      if (count !== 0) tell(line, count)
    }
  }

  /** So many more are ready; null when nobody knows how many. */
  function tell(line: ClaimLine, count: number | null): void {
    line.told = count === null || line.told === null ? null : line.told + count
    line.ready = count === null || line.ready === null ? null : line.ready + count
    look(line)
  }

  /** All that was ready when a look began was seen, and so many of it were left. */
  function saw(line: ClaimLine, left: number, began: number): void {
    line.ready = line.told === null ? null : line.told + left
    line.seenAt = began
  }

  /** Has a line looked at, now or as soon as the look under way is over. */
  function look(line: ClaimLine): void {
    if (line.looking) {
      line.again = true
      return
    }
    if (freeOf(line).length === 0) return
    queued.add(line)
    run()
  }

  /**
   * How many steps are ready for a line beside those that a look is just taking; null when that is not known.
   * Whoever makes steps ready tells of it, in this process and in others, and should that get lost, looks once a
   * second find them.
   */
  function readyOf({ ready, seenAt }: ClaimLine): number | null {
    return performance.now() - seenAt < seenFor ? ready : null
  }

  function isKnownEmpty(line: ClaimLine): boolean {
    return readyOf(line) === 0
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
  async function serve(line: ClaimLine): Promise<void> {
    line.again = false
    line.told = 0
    const began = performance.now()
    const start = line.after
    let wrapped = start === null
    let asked: WaitingClaim[] = []
    try {
      for (;;) {
        asked = freeOf(line)
        if (asked.length === 0) return
        for (const claim of asked) claim.held = true
        const slots = slotsFor(asked, slotsAtOnce)
        const known = line.ready
        line.ready = known === null ? null : Math.max(0, known - slots.length)
        const { steps, more, left } = await claimSteps(writerOf(scope, line.filter.namespace), {
          ...line.filter,
          slots: slots.map(({ slot }) => slot),
          after: line.after,
          served: turns.servedOf(line.filter.namespace),
        })
        hand(slots, steps)
        letGo(asked)
        line.after = more
        if (steps.length === slots.length) {
          // Where these came from, there may be more.
          if (left !== null) saw(line, left, began)
          else if (known !== null && known < steps.length) line.ready = null
          continue
        }
        if (more === null) {
          if (wrapped) break
          wrapped = true
        } else if (wrapped && (start === null || isBehind(more, start))) break
      }
      saw(line, 0, began)
      // Those that would not wait have had their look.
      for (const claim of asked) if (claim.request.wait === 0) claim.settle([])
    } catch (error) {
      line.ready = null
      for (const claim of asked) claim.fail(toFlowError(error))
    }
  }

  /** Gives steps to those whose slots they were claimed for. Nobody waits for more once there is one. */
  function hand(
    slots: readonly OwnedSlot[],
    steps: readonly (ClaimedStep & { slot: number })[],
  ): void {
    if (steps.length > 0) onClaimed(Math.min(...steps.map(({ lease_ms }) => lease_ms ?? 0)))
    give(steps, (step) => slots[step.slot]?.claim)
  }

  function give<Step extends ClaimedStep>(
    steps: readonly Step[],
    claimOf: (step: Step) => WaitingClaim | undefined,
  ): void {
    const given = new Map<WaitingClaim, ClaimedStep[]>()
    for (const step of steps) {
      const claim = claimOf(step)
      turns.served(step)
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

  function lineOf(namespace: string, request: ClaimRequest): ClaimLine {
    const { controllers = null, tasks = null }: Partial<ClaimFilter> = request
    const filter: ClaimFilter = { namespace, controllers, tasks, pushed: false }
    const key = keyOf(filter)
    const line = lines.get(key) ?? newLine(filter)
    lines.set(key, line)
    return line
  }

  /** Keeps claims for steps of a transaction, but those that will be given what has been ready for longer. */
  function offer(steps: readonly StepRecord[], standbys: Standbys): Offered | null {
    if (steps.length === 0) return null
    const free = new Map<ClaimLine, WaitingClaim[]>()
    for (const line of lines.values()) free.set(line, freeOf(line))
    for (const [standby, settled] of standbys) {
      const entered = standby.enter(settled)
      if (entered === null) continue
      const { claim, line } = entered
      const others = free.get(line)
      if (others === undefined) free.set(line, [claim])
      else others.push(claim)
    }
    for (const [line, claims] of free) free.set(line, claimsBehind(claims, readyOf(line)))
    const matches = matchSteps(steps, free)
    if (matches.size === 0) return null
    const held = new Map<WaitingClaim, ClaimLine>()
    for (const { claim, line } of matches.values()) held.set(claim, line)
    for (const claim of held.keys()) claim.held = true
    return {
      leases: new Map([...matches].map(([id, { lease }]) => [id, lease])),
      settle(came) {
        give(came, ({ id }) => matches.get(id)?.claim)
        letGo(held.keys())
        // Nothing was looked for on behalf of those that were held.
        for (const [claim, line] of held) if (!claim.settled) look(line)
      },
    }
  }

  const loop = createLoop({
    name: 'step-claims',
    interval: lookEvery,
    report,
    async pass() {
      for (const [key, line] of lines) {
        // Kept until now for what was known of it.
        if (line.claims.size === 0 && !line.looking) lines.delete(key)
        else look(line)
      }
      return lookEvery
    },
  })

  return {
    nudge,
    waiting: () => [...lines.values()].reduce((sum, { claims }) => sum + claims.size, 0),
    claim({ namespace }, request, signal) {
      if (signal.aborted || stopping) return Promise.resolve([])
      const line = lineOf(namespace, request)
      if (request.glance === true && isKnownEmpty(line)) return Promise.resolve([])
      return new Promise((resolve, reject) => {
        const end = (finish: () => void) => {
          if (claim.settled) return
          claim.settled = true
          line.claims.delete(claim)
          clearTimeout(timer)
          signal.removeEventListener('abort', giveUp)
          finish()
        }
        const claim: WaitingClaim = {
          request,
          settled: false,
          held: false,
          over: false,
          settle: (steps) => end(() => resolve(steps)),
          fail: (error) => end(() => reject(error)),
        }
        const giveUp = () => claim.settle([])
        const timer = request.wait > 0 ? setTimeout(() => endWait(claim), request.wait) : undefined
        signal.addEventListener('abort', giveUp)
        line.claims.add(claim)
        // One that waits is no worse off than those that have waited since the last look.
        if (request.wait === 0 || !isKnownEmpty(line)) look(line)
      })
    },
    standBy: (namespace, requestOf) =>
      createStandingClaim({
        requestOf,
        lineOf: (request) => (stopping ? null : lineOf(namespace, request)),
        giveBack,
      }),
    start() {
      stopping = false
      loop.start()
    },
    async stop() {
      stopping = true
      await loop.stop()
      for (const { claims } of lines.values()) for (const claim of claims) endWait(claim)
    },
  }
}

function isReady(step: StepRecord): boolean {
  return step.ready
}
