// The flows of an owner: the open ones first, each kind newest first, a small page at a time.

import type { ToolArguments } from '../contract/tool.ts'
import { invalid } from '../domain/errors.ts'
import { type FlowRecord, type FlowStatus, flowStatuses, isTerminal } from '../domain/flow.ts'
import { done, type ToolAnswer, type ToolCallOffer } from './answer.ts'
import type { ToolContext } from './context.ts'
import { allowed } from './next.ts'
import { renderListed } from './render.ts'

/** Flows of a page. */
const pageSize = 20

const phases = {
  open: flowStatuses.filter((status) => !isTerminal(status)),
  closed: flowStatuses.filter(isTerminal),
} as const
type Phase = keyof typeof phases

/** `open` or `closed`, and where in the list of those. */
const cursorPattern = /^(open|closed)(?:\.([\w-]+))?$/

export interface ListedFlows {
  flows: FlowRecord[]
  next_cursor: string | null
}

/** Throws `invalid_request` and `cursor_mismatch` for a cursor that is not of this list. */
export async function listOwn(
  { engine, caller }: Pick<ToolContext, 'engine' | 'caller'>,
  { status, cursor }: ToolArguments['list_mine'],
): Promise<ListedFlows> {
  const read = (statuses: readonly FlowStatus[], limit: number, from: string | undefined) =>
    engine.flows.list(
      caller,
      { status: [...statuses], owner_session_key: caller.owner_session_key },
      '-created_at',
      { limit, ...(from !== undefined && { cursor: from }) },
    )
  const [phase, from] = startOf(cursor)
  const inPhase = (name: Phase) =>
    status === undefined ? phases[name] : phases[name].filter((one) => one === status)
  const flows: FlowRecord[] = []
  if (phase === 'open' && inPhase('open').length > 0) {
    const page = await read(inPhase('open'), pageSize, from)
    flows.push(...page.items)
    if (page.next_cursor !== null) return { flows, next_cursor: `open.${page.next_cursor}` }
  }
  if (inPhase('closed').length === 0) return { flows, next_cursor: null }
  const room = pageSize - flows.length
  if (room === 0) {
    // A full page of open ones: the closed ones begin on the next, if there are any.
    const { items } = await read(inPhase('closed'), 1, undefined)
    return { flows, next_cursor: items.length === 0 ? null : 'closed' }
  }
  const page = await read(inPhase('closed'), room, phase === 'closed' ? from : undefined)
  flows.push(...page.items)
  return { flows, next_cursor: page.next_cursor === null ? null : `closed.${page.next_cursor}` }
}

function startOf(cursor: string | undefined): [Phase, string | undefined] {
  if (cursor === undefined) return ['open', undefined]
  const found = cursorPattern.exec(cursor)
  if (found === null) {
    throw invalid('/cursor', 'malformed', 'cursor must be the next_cursor of list_mine as it was.')
  }
  return [found[1] as Phase, found[2]]
}

export async function listMine(
  context: ToolContext,
  args: ToolArguments['list_mine'],
): Promise<ToolAnswer> {
  const { flows, next_cursor } = await listOwn(context, args)
  const first = flows[0]
  const more: ToolCallOffer[] =
    next_cursor === null ? [] : [{ action: 'list_mine', ...args, cursor: next_cursor }]
  const look: ToolCallOffer[] = first === undefined ? [] : [{ action: 'status', flow_id: first.id }]
  return done(
    { count: flows.length, flows: flows.map(renderListed), next_cursor },
    allowed(context.session, [...look, ...more]),
  )
}
