// What callers do with flows: create, change, read, list, and wait for a change.

import type { Command } from '../domain/command.ts'
import { flowNotFound } from '../domain/errors.ts'
import type { EventKind } from '../domain/event.ts'
import { type FlowRecord, type FlowStatus, isTerminal } from '../domain/flow.ts'
import type { PayloadStyle } from '../domain/hook.ts'
import { refuseFarTime, refuseFarWait } from '../domain/horizon.ts'
import { isId } from '../domain/id.ts'
import { judgeRetain, type RetainBounds } from '../domain/retention.ts'
import { shardCount, shardOf, shardToken } from '../domain/shard.ts'
import type { Timestamp } from '../domain/time.ts'
import type { WaitKind } from '../domain/wait.ts'
import type { Scope } from '../store/db.ts'
import { listFlows } from '../store/flow-lists.ts'
import type { Caller, ChangeOptions, Reply } from './change.ts'
import type { Committer } from './committer.ts'
import { decodeCursor, encodeCursor } from './cursor.ts'
import { makeHook } from './hook-making.ts'
import { mintId } from './ids.ts'
import { keepChange, keepCreation } from './keep-reply.ts'
import { flowAmounts, inQuota, type NamespaceQuota } from './namespace-quota.ts'
import type { OutboundRules } from './outbound-url.ts'
import { type Page, type PageRequest, pageOf } from './page.ts'
import type { FlowReader } from './reader.ts'
import { originOf, sees, sightOf } from './sight.ts'
import { type FlowAsked, mintSteps } from './step-input.ts'
import type { Watch } from './watch.ts'

export interface FlowFilter {
  status?: FlowStatus[]
  owner_session_key?: string
  controller_id?: string
  key?: string
  labels?: Record<string, string>
  wait_kind?: WaitKind
  wait_topic?: string
  wait_correlation_id?: string
  created_after?: Timestamp
  created_before?: Timestamp
  held?: boolean
}

/** A flow as it is asked for, with the hooks that it shall have from its first event on. */
export type FlowRequest = FlowAsked & {
  hooks?: { url: string; kinds?: EventKind[]; secret?: string; payload?: PayloadStyle }[]
}

export interface Flows {
  /** Throws `key_conflict`, `limit_exceeded`, and what stands in the way of its hooks: `url_not_allowed`. */
  create(caller: Caller, input: FlowRequest, options?: ChangeOptions): Promise<Reply>
  change(
    caller: Caller,
    flowId: string,
    command: Command,
    options?: ChangeOptions,
    refusal?: Error,
  ): Promise<Reply>
  /** Throws `not_found`. */
  get(caller: Caller, flowId: string): Promise<FlowRecord>
  list(
    caller: Caller,
    filter: FlowFilter,
    sort: 'created_at' | '-created_at',
    page: PageRequest,
  ): Promise<Page<FlowRecord>>
  /**
   * Resolves as soon as the flow's revision is another than `revision` (or, with `terminal`, as soon
   * as it has ended), at the latest after `ms` milliseconds or when `signal` aborts; answers the flow
   * as it is then.
   */
  waitFor(
    caller: Caller,
    flowId: string,
    until: { revision: number } | { terminal: true },
    ms: number,
    signal: AbortSignal,
  ): Promise<FlowRecord>
}

/** What a hook is where it says nothing. */
const plainHook = {
  kinds: null,
  controller_id: null,
  labels: null,
  payload: 'thin',
  ordered: false,
  description: null,
} as const

export interface FlowsOptions {
  scope: Scope
  committer: Committer
  read: FlowReader
  watch: Watch
  /** Largest input of a step, in bytes of compact JSON. */
  stepBytes: number
  /** Where hooks may point to. */
  rules: OutboundRules
  /** How long flows may ask to be kept after their end. */
  retain: RetainBounds
  /** What namespaces are held to; null when they are held to nothing. */
  quota: NamespaceQuota | null
}

export function createFlows(options: FlowsOptions): Flows {
  const { scope, committer, read, watch, stepBytes, rules, retain, quota } = options

  async function get(caller: Caller, flowId: string): Promise<FlowRecord> {
    const flow = isId(flowId) ? await read({ namespace: caller.namespace, id: flowId }) : null
    if (flow === null || !sees(caller, flow)) throw flowNotFound(flowId)
    return flow
  }

  return {
    get,

    async create(caller, { hooks: asked = [], ...said }, options = {}) {
      const input = originOf(caller, said)
      judgeRetain(input.retain_ms, retain, '/retain')
      const routing = input.routing_key ?? input.key ?? options.idempotency?.key
      const shardIndex =
        routing === undefined
          ? Math.floor(Math.random() * shardCount)
          : shardOf(caller.namespace, routing)
      const flow_id = mintId(shardIndex)
      const place = { namespace: caller.namespace, flow_id }
      const made = asked.map((hook, i) =>
        makeHook(place, { ...plainHook, ...hook }, rules, `/hooks/${i}`),
      )
      const hooks = {
        rows: made.map(({ row }) => row),
        created: made.map(({ row: { id, url }, shown: secret }) => ({ id, url, secret })),
      }
      const flow = mintSteps(input, shardIndex, stepBytes)
      return inQuota(
        quota,
        caller.namespace,
        flowAmounts({ ...input, hooks: made }),
        (refusal) =>
          committer.submit({
            type: 'create',
            caller,
            keep: keepCreation(caller, options),
            flow_id,
            shard: shardToken(shardIndex),
            input: flow,
            ...(made.length > 0 && { hooks }),
            ...(refusal && { refusal }),
          }),
        ({ outcome, replayed }) => outcome === 'created' && !replayed,
      )
    },

    async change(caller, flowId, command, options = {}, refusal?) {
      // What is no id cannot be the id of a flow, and must not get into a statement.
      if (!isId(flowId)) throw flowNotFound(flowId)
      const horizon = caller.timer_max_horizon
      if (horizon !== undefined) refuseFarCommand(command, horizon)
      if (command.type === 'update_retention') judgeRetain(command.retain_ms, retain, '/retain')
      return committer.submit({
        type: 'change',
        caller,
        keep: keepChange(caller, flowId, options),
        flow_id: flowId,
        command,
        if_match: options.if_match ?? null,
        ...(refusal && { refusal }),
        ...(options.standby && { standby: options.standby }),
      })
    },

    async list(caller, filter, sort, { limit, cursor }) {
      const bound = ['flows', caller.namespace, sort, filter]
      const position =
        cursor === undefined ? null : decodeCursor(cursor, bound, ['timestamp', 'id'])
      const { wait_kind, wait_topic, wait_correlation_id, ...columns } = filter
      const { owner, controllers } = sightOf(caller)
      const found = await listFlows(scope, {
        ...columns,
        ...(wait_kind !== undefined && { wait_kind }),
        ...(wait_topic !== undefined && { wait_topic }),
        ...(wait_correlation_id !== undefined && { wait_correlation_id }),
        namespace: caller.namespace,
        ...(owner !== undefined && { seen_owner: owner }),
        ...(controllers !== undefined && { seen_controllers: controllers }),
        descending: sort === '-created_at',
        ...(position !== null && {
          after: { created_at: position[0] as string, id: position[1] as string },
        }),
        limit: limit + 1,
      })
      return pageOf(found, limit, (flow) => encodeCursor(bound, [flow.created_at, flow.id]))
    },

    async waitFor(caller, flowId, until, ms, signal) {
      const deadline = performance.now() + ms
      let flow: FlowRecord | null = null
      const watcher = watch.open(flowId, () => flow?.revision ?? -1, deadline, signal)
      const reached = (seen: FlowRecord) =>
        'terminal' in until ? isTerminal(seen.status) : seen.revision !== until.revision
      try {
        // Watching began before this read, so that no change can fall between the two.
        flow = await get(caller, flowId)
        while (!reached(flow) && (await watcher.next())) flow = await get(caller, flowId)
        return flow
      } finally {
        watcher.close()
      }
    },
  }
}

/** Refuses timers that a command would set too far ahead for its caller. */
function refuseFarCommand(command: Command, horizon: number): void {
  const now = Date.now()
  switch (command.type) {
    case 'wait':
      refuseFarWait(command.wait, horizon, now)
      break
    case 'move_timer':
      refuseFarTime({ at: command.at }, horizon, now)
      break
    case 'settle':
      if (command.outcome.kind === 'wait') refuseFarWait(command.outcome.wait, horizon, now)
      if ('next' in command.outcome && command.outcome.next?.run_at !== undefined) {
        refuseFarTime(command.outcome.next.run_at, horizon, now)
      }
      break
    case 'enqueue':
      if (command.step.run_at !== undefined) refuseFarTime(command.step.run_at, horizon, now)
      break
    default:
      break
  }
}
