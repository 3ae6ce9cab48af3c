// What a caller may do: the actions that bindings grant, route family by route family, and those of the tool.

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
  'steps:write',
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

/** Whether any of the grants allows the action. Without a grant nothing is allowed. */
export function permits(grants: readonly Grant[], action: Action): boolean {
  return grants.some(
    (grant) =>
      grant === '*' || grant === action || (grant === 'tool:*' && action.startsWith('tool:')),
  )
}
