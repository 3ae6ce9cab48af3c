// What steps recorded, as rows: values by name, for each flow.

import { type FlowStatus, isTerminal } from '../domain/flow.ts'
import type { JsonValue } from '../domain/json.ts'
import type { Timestamp } from '../domain/time.ts'
import { type Runner, read, rows, type Scope } from './db.ts'
import { sql } from './sql.ts'
import type { Within } from './wall.ts'

export interface MemoRecord {
  flow_id: string
  key: string
  value: JsonValue
  created_at: Timestamp
  updated_at: Timestamp
}

/** A row as the server sends it: the value as text, since the text null is one. */
type MemoRow = Omit<MemoRecord, 'value'> & { value: string }

const memoOf = ({ value, ...row }: MemoRow): MemoRecord => ({ ...row, value: JSON.parse(value) })

export async function readMemo(
  scope: Scope,
  within: Within,
  flowId: string,
  key: string,
): Promise<MemoRecord | undefined> {
  const [row] = await read<MemoRow>(
    scope,
    within,
    sql`
      select m.flow_id, m.key, m.value::text as value, m.created_at, m.updated_at
      from flow_memos m where m.flow_id = ${flowId} and m.key = ${key}`,
  )
  return row && memoOf(row)
}

/** What became of a memo that was to be written. */
export type MemoWrite =
  | { outcome: 'created' | 'replaced' | 'kept'; memo: MemoRecord }
  | { outcome: 'no_flow' }
  /** Its flow has ended. */
  | { outcome: 'closed'; status: FlowStatus }
  /** Its flow has as many as it may. */
  | { outcome: 'full' }

/**
 * Writes a memo of a flow that is open. The flow is locked until then, so that it cannot end meanwhile.
 *
 * @param replace whether one that is there is replaced; else it is kept.
 * @param maximum memos that a flow may have.
 */
export async function writeMemo(
  runner: Runner,
  memo: { flow_id: string; shard: number; key: string; value: JsonValue },
  replace: boolean,
  maximum: number,
): Promise<MemoWrite> {
  const { flow_id, shard, key } = memo
  const value = JSON.stringify(memo.value)
  const [flow] = await rows<{ status: FlowStatus }>(
    runner,
    sql`select f.status from flows f where f.id = ${flow_id} for share`,
  )
  if (flow === undefined) return { outcome: 'no_flow' }
  if (isTerminal(flow.status)) return { outcome: 'closed', status: flow.status }
  const columns = sql`m.flow_id, m.key, m.value::text as value, m.created_at, m.updated_at`
  const [known] = await rows<MemoRow>(
    runner,
    replace
      ? sql`
          update flow_memos m set value = ${value}::json,
            updated_at = date_trunc('milliseconds', clock_timestamp())
          where m.flow_id = ${flow_id} and m.key = ${key}
          returning ${columns}`
      : sql`select ${columns} from flow_memos m where m.flow_id = ${flow_id} and m.key = ${key}`,
  )
  if (known !== undefined) return { outcome: replace ? 'replaced' : 'kept', memo: memoOf(known) }
  const [made] = await rows<MemoRow & { made: boolean }>(
    runner,
    sql`
      insert into flow_memos as m (flow_id, shard, key, value, created_at, updated_at)
      select ${flow_id}::uuid, ${shard}::smallint, ${key}::text, ${value}::json, t.now, t.now
      from (select date_trunc('milliseconds', clock_timestamp()) as now) t
      where (select count(*) from flow_memos o where o.flow_id = ${flow_id}) < ${maximum}
      on conflict (flow_id, key, shard) do update
        set value = case when ${replace} then excluded.value else m.value end,
          updated_at = case when ${replace} then excluded.updated_at else m.updated_at end
      returning ${columns}, m.xmax = 0 as made`,
  )
  if (made === undefined) return { outcome: 'full' }
  const { made: isNew, ...row } = made
  return { outcome: isNew ? 'created' : replace ? 'replaced' : 'kept', memo: memoOf(row) }
}
