// A flow as a model is shown it: what it needs to go on, in few tokens, with foreign text set apart.

import type { FlowEvent } from '../domain/event.ts'
import type { FlowRecord } from '../domain/flow.ts'
import type { JsonObject, JsonValue } from '../domain/json.ts'
import type { Branch, Wait } from '../domain/wait.ts'

/** Characters of JSON of a state that are shown when nothing particular was asked for, and when it was. */
const shownState = 2_000
const askedState = 16_000
/** Characters of a goal in a list, and of an event's payload. */
const shownGoal = 160
const shownPayload = 400
/** Members that are named when they are left out. */
const namedMembers = 20

export interface Shown {
  /** Only these of the state. */
  members?: readonly string[] | undefined
  /** When it was created as well: most answers do without. */
  created?: boolean
}

/**
 * Goal, state and payloads stand under `untrusted`: they hold what users, agents and third parties
 * wrote, and a model must not take them for instructions.
 */
export function renderFlow(flow: FlowRecord, { members, created = false }: Shown = {}): JsonObject {
  const { state, left } = excerpt(flow.state, members)
  return {
    ...head(flow),
    ...(flow.wait !== null && { wait: renderWait(flow.wait) }),
    ...(flow.cancel_requested && { cancel_requested: true }),
    ...(created && { created_at: flow.created_at }),
    updated_at: flow.updated_at,
    untrusted: { goal: flow.goal, state },
    ...(left.length > 0 && {
      state_left_out: left.slice(0, namedMembers),
      note: `The state is large: ${left.length} of its members are left out. See them by status with members.`,
    }),
  }
}

/** A flow in a list: without its state. */
export function renderListed(flow: FlowRecord): JsonObject {
  return {
    ...head(flow),
    ...(flow.wait !== null && { wait: { kind: flow.wait.kind } }),
    updated_at: flow.updated_at,
    untrusted: { goal: cut(flow.goal, shownGoal) },
  }
}

function head({ id, status, current_step, revision, controller_id }: FlowRecord): JsonObject {
  return { id, status, current_step, revision, controller_id }
}

/** What it waits for, without what only machines need. */
function renderWait(wait: Wait): JsonObject {
  const { timeout_at, on_timeout } = wait
  return {
    ...conditionOf(wait),
    ...(timeout_at !== undefined && { timeout_at, on_timeout: on_timeout ?? 'resume' }),
  }
}

function conditionOf(wait: Wait): JsonObject {
  // A row that was damaged by hand must not spoil the answer.
  const of = 'of' in wait && Array.isArray(wait.of) ? wait.of.map(renderBranch) : []
  if (wait.kind === 'any') return { kind: wait.kind, of }
  if (wait.kind === 'all') return { kind: wait.kind, of, satisfied: wait.satisfied }
  return renderBranch(wait)
}

function renderBranch(branch: Branch): JsonObject {
  switch (branch.kind) {
    case 'timer':
      return { kind: branch.kind, at: branch.at }
    case 'external_event': {
      const { kind, topic, correlation_id } = branch
      return { kind, topic, correlation_id }
    }
    case 'manual':
      return { kind: branch.kind, ...(branch.signal !== undefined && { signal: branch.signal }) }
  }
}

export function renderEvent({ revision, kind, at, actor, payload }: FlowEvent): JsonObject {
  const text = JSON.stringify(payload)
  const whole = text.length <= shownPayload
  return {
    revision,
    kind,
    at,
    actor,
    ...(text !== '{}' && {
      untrusted: whole ? { payload } : { beginning: cut(text, shownPayload) },
    }),
  }
}

interface Excerpt {
  state: JsonObject
  /** Names of members that did not fit, with their sizes. */
  left: string[]
}

/** Whole members, in their order, as many as fit. One that was asked for and is too large is shown by its beginning. */
function excerpt(state: JsonObject, members: readonly string[] | undefined): Excerpt {
  const asked = members !== undefined
  let room = asked ? askedState : shownState
  const shown: [string, JsonValue][] = []
  const left: string[] = []
  for (const [name, value] of Object.entries(state)) {
    if (asked && !members.includes(name)) continue
    const text = JSON.stringify(value)
    const size = name.length + text.length
    if (size <= room) {
      shown.push([name, value])
      room -= size
      continue
    }
    left.push(`${cut(name, 64)} (${size} characters)`)
    if (asked && room > 0) {
      shown.push([name, cut(text, Math.max(0, room - name.length))])
      room = 0
    }
  }
  // Not by assignment: a member may be called __proto__.
  return { state: Object.fromEntries(shown), left }
}

/** Cut between characters: half of one is no Unicode, and strict readers of JSON refuse the whole answer. */
function cut(text: string, length: number): string {
  if (text.length <= length) return text
  return `${text.slice(0, length).replace(/[\ud800-\udbff]$/, '')}…`
}
