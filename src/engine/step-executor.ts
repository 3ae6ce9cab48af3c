// Pushes steps to the endpoints of their controllers: claims what each may run, sends it outside any
// transaction, and keeps endpoints that are slow or dead from holding up the others.

import { setMaxListeners } from 'node:events'
import { readerOf, type Scope } from '../store/db.ts'
import type { ReadyGroup } from '../store/due-steps.ts'
import { claimPushedSteps, listPushTargets, type PushClaim } from '../store/pushed-steps.ts'
import { everywhere } from '../store/wall.ts'
import type { Committer } from './committer.ts'
import { type Hints, hintKey } from './hints.ts'
import { createLoop } from './loop.ts'
import type { Report } from './notice.ts'
import { leaseMargin, type PushAttempt } from './push-attempt.ts'
import { type Breaker, createBreaker } from './push-breaker.ts'
import { waitsOf } from './step-queue.ts'

export interface StepExecutor {
  /** Tells that there may be steps to push; null: anywhere. */
  nudge(groups: readonly ReadyGroup[] | null): void
  /** Tells that a controller was changed, here. */
  changed(namespace: string, id: string): void
  start(): void
  /** Claims no more. What is being sent has some seconds to end; then its lease is left to end. */
  stop(): Promise<void>
}

export interface StepExecutorOptions {
  scope: Scope
  committer: Committer
  hints: Hints
  report: Report
  /** Made with a signal by which what is under way is given up. */
  attempt: (signal: AbortSignal) => PushAttempt
}

/** Claims at once. */
export const pushLanes = 2
/** Steps that are sent at a time, in all and to one endpoint. */
const limits = { total: 64, one: 32 } as const
/** Longest sleep, in milliseconds: bounds the lateness of what other processes made ready. */
const interval = 1_000
/** Before looking again at a controller for which another process is just claiming, in milliseconds. */
const lockedPause = 30
/** How long what is being sent has at a stop, in milliseconds. */
const stopGrace = 5_000

/** A controller that is pushed to, as this process sees it. */
interface Target {
  namespace: string
  id: string
  url: string
  breaker: Breaker
  /** The tasks that are pushed; null for all. */
  tasks: readonly string[] | null
  /** Steps that are being sent, and room that a claim under way may fill. */
  taken: number
  claiming: boolean
  /** Whether there may be steps that could be claimed: at once, or when another one has ended. */
  hungry: 'no' | 'now' | 'later'
  /** The number of its last claim, for turns. */
  turn: number
}

export function createStepExecutor(options: StepExecutorOptions): StepExecutor {
  const { scope, committer, hints, report } = options
  let targets = new Map<string, Target>()
  /** What is being sent and claimed. */
  const busy = new Set<Promise<void>>()
  const givingUp = new AbortController()
  // One listener for each step that is being sent.
  setMaxListeners(0, givingUp.signal)
  const attempt = options.attempt(givingUp.signal)
  let stopping = false
  let claims = 0
  let turns = 0
  let taken = 0

  const loop = createLoop({ name: 'step-executor', interval, report, pass })
  committer.onSteps((steps) => {
    if (steps === null) return nudge(null)
    const ready = steps.filter((step) => step.ready && targetOf(step) !== undefined)
    if (ready.length > 0) {
      nudge(ready)
      hints.publish('pushes', new Set(ready.map(keyOf)))
    }
    // One that has ended leaves room at its endpoint, whoever settled it.
    for (const step of steps) if (step.status !== 'running') freed(targetOf(step))
  })
  hints.subscribe('pushes', (keys) => {
    if (keys === null) return loop.nudge(0)
    let known = 0
    for (const [key, target] of targets) {
      if (!keys.has(hintKey(key))) continue
      known++
      look(target)
    }
    // A controller that this process has not heard of yet.
    if (known < keys.size) loop.nudge(0)
  })

  /** Learns of all controllers, and looks where there is something to do. */
  async function pass(): Promise<number> {
    const found = await listPushTargets(readerOf(scope, everywhere))
    const known = targets
    targets = new Map()
    for (const { namespace, id, url, tasks, ready } of found) {
      const key = keyOf({ namespace, controller_id: id })
      const target = known.get(key) ?? newTarget(namespace, id, url)
      targets.set(key, target)
      // Another endpoint has not failed yet.
      if (target.url !== url) Object.assign(target, { url, breaker: createBreaker() })
      target.tasks = tasks
      if (ready) target.hungry = 'now'
    }
    serveAll()
    return interval
  }

  /** The controller that a step is pushed to. */
  function targetOf(step: ReadyGroup): Target | undefined {
    const target = targets.get(keyOf(step))
    return target?.tasks?.includes(step.task) === false ? undefined : target
  }

  function nudge(groups: readonly ReadyGroup[] | null): void {
    if (groups === null) loop.nudge(0)
    for (const group of groups ?? []) {
      const target = targetOf(group)
      if (target !== undefined) look(target)
    }
  }

  function look(target: Target): void {
    target.hungry = 'now'
    serve(target)
  }

  function freed(target: Target | undefined): void {
    if (target?.hungry === 'later') look(target)
  }

  /** Those with the fewest steps under way come first, and of these the one that waited longest. */
  function serveAll(): void {
    const hungry = [...targets.values()].filter((target) => target.hungry === 'now')
    for (const target of hungry.sort((a, b) => a.taken - b.taken || a.turn - b.turn)) serve(target)
  }

  /**
   * How many steps may be claimed for a target. One can have no more than half of what the others leave:
   * however slow some are, there is room for the next.
   */
  function roomOf(target: Target): number {
    const others = taken - target.taken
    const share = Math.min(limits.one, Math.max(1, Math.floor((limits.total - others) / 2)))
    const most = Math.min(share, target.breaker.most(performance.now()))
    return Math.min(most - target.taken, limits.total - taken)
  }

  /** Claims for a target, if there is room. Whatever ends, or is over, asks again. */
  function serve(target: Target): void {
    if (stopping || target.claiming || claims >= pushLanes) return
    const room = roomOf(target)
    if (room <= 0) {
      const rest = target.breaker.restsFor(performance.now())
      if (rest > 0) loop.nudge(rest)
      return
    }
    target.claiming = true
    target.hungry = 'no'
    target.turn = ++turns
    claims++
    take(target, room)
    const claimed = claim(target, room).finally(() => {
      busy.delete(claimed)
      target.claiming = false
      claims--
      serveAll()
    })
    busy.add(claimed)
  }

  async function claim(target: Target, room: number): Promise<void> {
    let found: PushClaim | null = null
    try {
      found = await claimPushedSteps(scope, target, room, leaseMargin)
      // Locked by another process, or not pushed to any more: the next look tells.
      if (found === null) loop.nudge(lockedPause)
      else if (found.more !== 'no' && target.hungry === 'no') target.hungry = found.more
    } catch (cause) {
      target.hungry = 'later'
      report({ type: 'push_claim_failed', controller_id: target.id, cause })
    }
    take(target, (found?.steps.length ?? 0) - room)
    if (found !== null && found.steps.length > 0) {
      report({ type: 'steps_claimed', by: 'push', waits: waitsOf(found.steps) })
    }
    if (found !== null) for (const step of found.steps) send(target, found.controller, step)
  }

  function take(target: Target, count: number): void {
    target.taken += count
    taken += count
  }

  function send(target: Target, controller: PushClaim['controller'], step: PushClaim['steps'][0]) {
    const { breaker } = target
    // It may have failed once too often while this was being claimed.
    const rests = breaker.restsFor(performance.now()) > 0
    const sent = (
      stopping || rests
        ? attempt.giveBack(step)
        : attempt.push(controller, step, (health, notBefore) => {
            const spare = breaker.isOpen()
            const pause = breaker.record(health, performance.now(), notBefore)
            const { namespace, id: controller_id } = target
            if (pause > 0) report({ type: 'push_paused', namespace, controller_id, pause })
            if (spare && !breaker.isOpen()) {
              report({ type: 'push_goes_on', namespace, controller_id })
            }
            return { spare }
          })
    ).finally(() => {
      busy.delete(sent)
      take(target, -1)
      freed(target)
      serveAll()
    })
    busy.add(sent)
  }

  return {
    nudge,
    changed(namespace, id) {
      loop.nudge(0)
      hints.publish('pushes', [keyOf({ namespace, controller_id: id })])
    },
    start: () => loop.start(),
    async stop() {
      stopping = true
      await loop.stop()
      const grace = setTimeout(() => givingUp.abort(), stopGrace)
      while (busy.size > 0) await Promise.all(busy)
      clearTimeout(grace)
    },
  }
}

function newTarget(namespace: string, id: string, url: string): Target {
  return {
    namespace,
    id,
    url,
    breaker: createBreaker(),
    tasks: null,
    taken: 0,
    claiming: false,
    hungry: 'no',
    turn: 0,
  }
}

function keyOf({ namespace, controller_id }: Pick<ReadyGroup, 'namespace' | 'controller_id'>) {
  return JSON.stringify([namespace, controller_id])
}
