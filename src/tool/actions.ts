// The actions of the tool: what each is for, and what it does. One table that all of its faces show.

import type { ToolArguments } from '../contract/tool.ts'
import { waitSpec } from '../contract/wait-spec.ts'
import type { ToolAction } from '../domain/binding.ts'
import type { Command } from '../domain/command.ts'
import { FlowError, flowNotFound } from '../domain/errors.ts'
import { isId, shardIndexOf } from '../domain/id.ts'
import { mintId } from '../engine/ids.ts'
import { done, type ToolAnswer, ToolRefusal } from './answer.ts'
import { type ToolContext, tellFlow, tellReply } from './context.ts'
import { guardTimes } from './horizon.ts'
import { listMine } from './list-mine.ts'
import { renderEvent } from './render.ts'
import { keyOf } from './start-key.ts'

type Run<Args> = (context: ToolContext, args: Args) => Promise<ToolAnswer>

interface ActionOf<Args> {
  /** For a model, beside the names of its arguments. */
  description: string
  title: string
  /** Whether it changes nothing. */
  readOnly: boolean
  /** Whether what it does cannot be taken back. */
  destructive: boolean
  /** Whether doing it twice is like doing it once. */
  idempotent: boolean
  run: Run<Args>
}

export type ToolActions = { [Action in ToolAction]: ActionOf<ToolArguments[Action]> }

const read = { readOnly: true, destructive: false, idempotent: true }
const change = { readOnly: false, destructive: false, idempotent: false }
const end = { readOnly: false, destructive: true, idempotent: false }

/** Events of one answer. */
const shownEvents = 10

export const actions: ToolActions = {
  start: {
    ...change,
    title: 'Start a flow',
    description: 'Make and start a durable flow: a task that outlives you. Keep its id.',
    async run({ engine, session, caller, options }, { key, ...wanted }) {
      const { owner_session_key, requester_origin } = caller
      const reply = await engine.flows.create(
        caller,
        {
          ...wanted,
          owner_session_key,
          requester_origin,
          start: true,
          ...(key !== undefined && {
            key: keyOf(owner_session_key, key),
            on_conflict: 'use_existing' as const,
          }),
        },
        options,
      )
      const answer = tellReply({ session }, reply)
      return reply.outcome === 'existing' ? { ...answer, existing: true } : answer
    },
  },
  status: {
    ...read,
    title: 'Look at a flow',
    description: 'A flow: status, state, what it waits for.',
    run: async (context, { flow_id, members }) =>
      tellFlow(context.session, await context.engine.flows.get(context.caller, flow_id), {
        members,
        created: true,
      }),
  },
  advance: {
    ...change,
    title: 'Save progress',
    description: 'Save progress: merge patch into the state, name the next step.',
    run: (context, { flow_id, patch, current_step }) =>
      changeFlow(context, flow_id, {
        type: 'update_state',
        ...(patch !== undefined && { patch }),
        ...(current_step !== undefined && { next_step: current_step }),
      }),
  },
  wait: {
    ...change,
    title: 'Let a flow wait',
    description:
      'Let a running flow wait: timer (after or at), external_event (topic, correlation_id), manual (until resume), any or all of those. You need not stay.',
    run(context, { flow_id, wait_condition }) {
      if ('link' in wait_condition) {
        throw new ToolRefusal('unknown_argument', 'wait_condition takes no link: leave it out.', {
          argument: 'wait_condition.link',
        })
      }
      const wait = waitSpec(wait_condition, '/wait_condition')
      guardTimes(wait, context.horizon, Date.now())
      return changeFlow(context, flow_id, (id) => ({
        type: 'wait',
        wait_id: mintId(shardIndexOf(id)),
        wait,
      }))
    },
  },
  finish: {
    ...end,
    title: 'Finish a flow',
    description: 'End a running flow as done; final_state is merged.',
    run: (context, { flow_id, final_state }) =>
      changeFlow(context, flow_id, {
        type: 'finish',
        ...(final_state !== undefined && { final_state }),
      }),
  },
  fail: {
    ...end,
    title: 'Give a flow up',
    description: 'End a flow as failed.',
    run: (context, { flow_id, reason }) => changeFlow(context, flow_id, { type: 'fail', reason }),
  },
  cancel: {
    ...end,
    title: 'Cancel a flow',
    description: 'End a flow at once, as no longer wanted.',
    run: (context, { flow_id }) => changeFlow(context, flow_id, { type: 'cancel' }),
  },
  list_mine: {
    ...read,
    title: 'List your flows',
    description: 'Your flows, open ones first. Begin here after a restart.',
    run: listMine,
  },
  resume: {
    ...change,
    title: 'Resume a flow',
    description: 'End the wait of a flow, whatever it waits for; patch is merged into the state.',
    run: (context, { flow_id, patch }) =>
      changeFlow(context, flow_id, {
        type: 'resume',
        ...(patch !== undefined && { state_patch: patch }),
      }),
  },
  signal: {
    ...change,
    title: 'Send a signal',
    description: 'Report an external event. It ends a wait for it, or is kept for one to come.',
    run: sendSignal,
  },
  events: {
    ...read,
    title: 'Show what happened',
    description: 'The last events of a flow.',
    async run(context, { flow_id, before }) {
      const flow = await context.engine.flows.get(context.caller, flow_id)
      const end = Math.min(before ?? Number.MAX_SAFE_INTEGER, flow.revision + 1)
      // One event for each revision, without a gap.
      const after = Math.max(-1, end - shownEvents - 1)
      const limit = Math.max(1, Math.min(shownEvents, end))
      const { items } = await context.engine.events.list(
        context.caller,
        flow_id,
        { after },
        { limit },
      )
      const events = items.filter(({ revision }) => revision < end).map(renderEvent)
      const { next_actions } = tellFlow(context.session, flow)
      const older = after >= 0 ? [{ action: 'events' as const, flow_id, before: after + 1 }] : []
      return done({ events }, [
        ...older,
        ...next_actions.filter(({ action }) => action !== 'events'),
      ])
    },
  },
}

/** Changes a flow of the caller's own; the engine judges whose it is, under the flow's lock. */
async function changeFlow(
  context: ToolContext,
  flowId: string,
  command: Command | ((flowId: string) => Command),
): Promise<ToolAnswer> {
  if (!isId(flowId)) throw flowNotFound(flowId)
  const made = typeof command === 'function' ? command(flowId) : command
  return tellReply(
    context,
    await context.engine.flows.change(context.caller, flowId, made, context.options),
  )
}

/** A signal reaches the flows of its session alone, as everything that the session does; an early one is kept for them. */
async function sendSignal(
  context: ToolContext,
  { topic, correlation_id, payload }: ToolArguments['signal'],
): Promise<ToolAnswer> {
  const { engine, session, caller, options } = context
  const { outcome, signal_id, deliveries, expires_at } = await engine.signals.send(
    caller,
    {
      target: { kind: 'external_event', topic, correlation_id },
      ...(payload !== undefined && { payload }),
    },
    options,
  )
  const told = { outcome, signal_id, ...(expires_at !== null && { kept_until: expires_at }) }
  const [first] = deliveries
  const flow =
    first === undefined ? null : await engine.flows.get(caller, first.flow_id).catch(nothing)
  return flow === null ? done(told, []) : { ...tellFlow(session, flow), ...told }
}

/** A flow that is not there for this caller is none. */
function nothing(error: unknown): null {
  if (error instanceof FlowError && error.code === 'not_found') return null
  throw error
}
