// Bindings: who a caller is and what it is allowed, the keys by which it says so, and how both are narrowed.

import type { Timestamp } from './time.ts'

/** What the tool for agents can do; each is granted on its own as `tool:<name>`. */
export const toolActions = [
  'start',
  'status',
  'advance',
  'wait',
  'finish',
  'fail',
  'cancel',
  'list_mine',
  'resume',
  'signal',
  'events',
] as const
export type ToolAction = (typeof toolActions)[number]

/** What the routes of the service ask for. */
export const routeActions = [
  'flows:read',
  'flows:write',
  'flows:cancel',
  'events:read',
  'steps:read',
  'steps:work',
  'signals:read',
  'signals:write',
  'hooks:admin',
  'sources:admin',
  'controllers:admin',
  'bindings:admin',
  'engine:admin',
] as const
export type RouteAction = (typeof routeActions)[number]

/** One thing that a caller can be allowed. */
export type Action = RouteAction | `tool:${ToolAction}`

/** What a binding lists: actions, or all of the tool, or everything. */
export type Grant = Action | 'tool:*' | '*'

export const grants: readonly Grant[] = [
  ...routeActions,
  ...toolActions.map((action): Grant => `tool:${action}`),
  'tool:*',
  '*',
]

/** Whether any of the grants allows the action. Without a grant nothing is allowed. */
export function permits(granted: readonly Grant[], action: Action | 'tool:*' | '*'): boolean {
  return granted.some(
    (grant) =>
      grant === '*' || grant === action || (grant === 'tool:*' && action.startsWith('tool:')),
  )
}

/** Requests that a caller may send: so many a minute, and so many at once after a pause. */
export interface Rate {
  per_minute: number
  burst: number
}

/** What a caller is held to, as a binding says it or a key that was minted from it. */
export interface Bounds {
  actions: Grant[]
  /** The only owner whose flows it sees and makes; null means every one. */
  owner_session_key: string | null
  /** Who asks for the flows that it makes; null: it says so itself. */
  requester_origin: string | null
  /** The only controllers whose flows and steps it sees; null means all. */
  controllers: string[] | null
  /** How far ahead its timers may be, in milliseconds; null: as far as anybody's. */
  timer_max_horizon_ms: number | null
  rate: Rate | null
}

export interface BindingRecord extends Bounds {
  id: string
  namespace: string
  /** Unique in its namespace; what audit events call it. */
  name: string
  created_at: Timestamp
  updated_at: Timestamp
  expires_at: Timestamp | null
}

export interface BindingKeyRecord {
  id: string
  binding_id: string
  /** The key that it was minted from; null for a key of the binding itself. */
  parent_id: string | null
  name: string | null
  /** What it is held to beyond its binding; null for a key of the binding itself. */
  narrowed: Partial<Bounds> | null
  created_at: Timestamp
  expires_at: Timestamp | null
  last_used_at: Timestamp | null
}

/** Names that the service itself is called by. */
export const reservedNames: readonly string[] = ['anonymous', 'admin', 'nats', 'wait-engine']

/**
 * The first of the bounds that would allow more than those of `holder`, or null when none does. What is
 * left out is as the holder has it.
 */
export function widened(holder: Bounds, asked: Partial<Bounds>): keyof Bounds | null {
  const { actions, controllers } = asked
  if (actions?.some((action) => !permits(holder.actions, action))) return 'actions'
  for (const member of ['owner_session_key', 'requester_origin'] as const) {
    const value = asked[member]
    if (value !== undefined && holder[member] !== null && value !== holder[member]) return member
  }
  const allowed = holder.controllers
  if (allowed !== null && controllers !== undefined) {
    if (controllers?.every((one) => allowed.includes(one)) !== true) return 'controllers'
  }
  const { timer_max_horizon_ms: horizon, rate } = asked
  if (horizon !== undefined && isMore(horizon, holder.timer_max_horizon_ms)) {
    return 'timer_max_horizon_ms'
  }
  if (rate !== undefined && holder.rate !== null) {
    if (rate === null) return 'rate'
    if (rate.per_minute > holder.rate.per_minute || rate.burst > holder.rate.burst) return 'rate'
  }
  return null
}

/** Whether a limit is higher than another; null is none. */
function isMore(asked: number | null, held: number | null): boolean {
  return held !== null && (asked === null || asked > held)
}

/** What a key is held to. A binding that was narrowed since narrows the keys that were minted from it. */
export function boundsOf(binding: Bounds, narrowed: Partial<Bounds> | null): Bounds {
  const { actions, owner_session_key, requester_origin, controllers, timer_max_horizon_ms, rate } =
    binding
  const own: Bounds = {
    actions,
    owner_session_key,
    requester_origin,
    controllers,
    timer_max_horizon_ms,
    rate,
  }
  if (narrowed === null) return own
  const asked = { ...own, ...narrowed }
  return {
    actions: asked.actions.filter((action) => permits(actions, action)),
    owner_session_key: owner_session_key ?? asked.owner_session_key,
    requester_origin: requester_origin ?? asked.requester_origin,
    controllers:
      controllers === null || asked.controllers === null
        ? (controllers ?? asked.controllers)
        : asked.controllers.filter((one) => controllers.includes(one)),
    timer_max_horizon_ms: least(timer_max_horizon_ms, asked.timer_max_horizon_ms),
    rate: asked.rate ?? rate,
  }
}

function least(a: number | null, b: number | null): number | null {
  if (a === null || b === null) return a ?? b
  return Math.min(a, b)
}

const keyText = /^tf_([a-z0-9]{1,16})_([0-9a-f]{32})_([A-Za-z0-9_-]{43})$/

/** The text of a key: what it is for, which it is, and 256 bits that only its holder knows. */
export function formatKey(env: string, id: string, secret: string): string {
  return `tf_${env}_${id.replaceAll('-', '')}_${secret}`
}

/** The id of a key, or null for a text that is none. */
export function keyIdOf(text: string): string | null {
  const hex = keyText.exec(text)?.[2]
  if (hex === undefined) return null
  return [0, 8, 12, 16, 20].map((at, i, all) => hex.slice(at, all[i + 1])).join('-')
}
