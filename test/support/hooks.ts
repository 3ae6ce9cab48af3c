// Hooks to begin a test with, and what the tables say of their deliveries.

import type { NewHook } from '../../src/engine/hook-making.ts'
import { caller, type Session, type TestEngine } from './engine.ts'

/** A hook for everything. */
const plainHook: Omit<NewHook, 'url'> = {
  kinds: null,
  controller_id: null,
  labels: null,
  payload: 'thin',
  ordered: false,
  description: null,
}

/** Makes a hook; answers its id. */
export async function hookTo(
  engine: TestEngine,
  url: string,
  more: Partial<NewHook> & { flow_id?: string } = {},
): Promise<string> {
  const { flow_id = null, ...definition } = more
  const made = await engine.hooks.create(caller, { ...plainHook, url, flow_id, ...definition })
  return made.value.id
}

export interface DeliveryRow {
  id: string
  hook_id: string
  flow_id: string
  revision: number
  type: string
  status: string
  attempt: number
  depth: number
  leased: boolean
}

/** All deliveries, in the order of their flows and revisions. */
export async function deliveriesIn(session: Session, hookId?: string): Promise<DeliveryRow[]> {
  const { rows } = await session.query<DeliveryRow>(
    `select id, hook_id, flow_id, revision, type, status, attempt, depth,
       lease_token is not null as leased
     from deliveries where $1::uuid is null or hook_id = $1 order by flow_id, revision, id`,
    [hookId ?? null],
  )
  return rows
}

/** Events for which the deliveries of a hook for everything are not exactly one each. */
export async function outboxFaults(session: Session, hookId: string): Promise<unknown[]> {
  const { rows } = await session.query(
    `select coalesce(e.flow_id, d.flow_id) as flow_id, coalesce(e.revision, d.revision) as revision
     from flow_events e
     full join (select * from deliveries where hook_id = $1) d
       on d.flow_id = e.flow_id and d.revision = e.revision
     group by 1, 2 having count(e.flow_id) <> 1 or count(d.id) <> 1`,
    [hookId],
  )
  return rows
}
