// Controllers as rows.

import type { ControllerRecord, PushedController } from '../domain/controller.ts'
import type { Timestamp } from '../domain/time.ts'
import { type Runner, read, rows, type Scope } from './db.ts'
import { raw, sql } from './sql.ts'

export const controllerColumns = [
  'namespace',
  'id',
  'url',
  'tasks',
  'timeout_ms',
  'max_concurrency',
  'retry',
  'on_dead',
  'enabled',
  'disabled_reason',
  'disabled_at',
  'secrets',
  'created_at',
  'updated_at',
] as const satisfies readonly (keyof ControllerRecord)[]

const names = raw(controllerColumns.join(', '))

/** A controller, with the database's time at which it was read. */
export type ControllerReading<Record = ControllerRecord> = Record & { now: Timestamp }

/** Reads one for a caller. */
export async function readController(
  scope: Scope,
  namespace: string,
  id: string,
): Promise<ControllerReading | undefined> {
  const [controller] = await read<ControllerReading>(
    scope,
    namespace,
    sql`
      select ${names}, date_trunc('milliseconds', now()) as now from controllers
      where namespace = ${namespace} and id = ${id}`,
  )
  return controller
}

/** Controllers of a namespace, by id. */
export async function listControllers(
  scope: Scope,
  query: { namespace: string; after: string | null; limit: number },
): Promise<ControllerReading[]> {
  const after = query.after === null ? raw('') : sql` and id > ${query.after}::text`
  return read<ControllerReading>(
    scope,
    query.namespace,
    sql`
      select ${names}, date_trunc('milliseconds', now()) as now from controllers
      where namespace = ${query.namespace}${after}
      order by id
      limit ${query.limit}`,
  )
}

type Row = Omit<ControllerRecord, 'created_at' | 'updated_at'>

function retryOf({ retry }: Row): string | null {
  return retry === null ? null : JSON.stringify(retry)
}

/** Reads a controller and locks it for this transaction. */
export async function lockController(
  runner: Runner,
  namespace: string,
  id: string,
): Promise<ControllerReading | undefined> {
  const [controller] = await rows<ControllerReading>(
    runner,
    sql`
      select ${names}, date_trunc('milliseconds', clock_timestamp()) as now from controllers
      where namespace = ${namespace} and id = ${id}
      for no key update`,
  )
  return controller
}

/** Inserts a controller; nothing when there is one with its id. */
export async function insertController(
  runner: Runner,
  row: Row,
): Promise<ControllerReading | undefined> {
  const [inserted] = await rows<ControllerReading>(
    runner,
    sql`
      insert into controllers (${names})
      values (${row.namespace}, ${row.id}, ${row.url}, ${row.tasks}::text[], ${row.timeout_ms},
        ${row.max_concurrency}, ${retryOf(row)}::jsonb, ${row.on_dead}, ${row.enabled},
        ${row.disabled_reason}, ${row.disabled_at}::timestamptz,
        ${JSON.stringify(row.secrets)}::jsonb,
        date_trunc('milliseconds', now()), date_trunc('milliseconds', now()))
      on conflict (namespace, id) do nothing
      returning ${names}, date_trunc('milliseconds', now()) as now`,
  )
  return inserted
}

/** Overwrites a locked controller. */
export async function updateController(runner: Runner, row: Row): Promise<ControllerReading> {
  const [updated] = await rows<ControllerReading>(
    runner,
    sql`
      update controllers set url = ${row.url}, tasks = ${row.tasks}::text[],
        timeout_ms = ${row.timeout_ms}, max_concurrency = ${row.max_concurrency},
        retry = ${retryOf(row)}::jsonb,
        on_dead = ${row.on_dead}, enabled = ${row.enabled},
        disabled_reason = ${row.disabled_reason}, disabled_at = ${row.disabled_at}::timestamptz,
        secrets = ${JSON.stringify(row.secrets)}::jsonb,
        updated_at = date_trunc('milliseconds', now())
      where namespace = ${row.namespace} and id = ${row.id}
      returning ${names}, date_trunc('milliseconds', now()) as now`,
  )
  if (updated === undefined) throw new Error('a locked controller is gone')
  return updated
}

/**
 * Ends the pushing to an endpoint that wants no more. Answers whether this did it: another one that was
 * given in the meantime is left alone.
 */
export async function disableController(
  runner: Runner,
  { namespace, id, url, reason }: { namespace: string; id: string; url: string; reason: string },
): Promise<boolean> {
  const disabled = await rows<{ id: string }>(
    runner,
    sql`
      update controllers set enabled = false, disabled_reason = ${reason},
        disabled_at = date_trunc('milliseconds', now()),
        updated_at = date_trunc('milliseconds', now())
      where namespace = ${namespace} and id = ${id} and url = ${url} and enabled
      returning id`,
  )
  return disabled.length > 0
}

/** Answers whether there was one. */
export async function deleteController(
  runner: Runner,
  namespace: string,
  id: string,
): Promise<boolean> {
  const gone = await rows<{ id: string }>(
    runner,
    sql`delete from controllers where namespace = ${namespace} and id = ${id} returning id`,
  )
  return gone.length > 0
}

/** Reads and locks a controller that is pushed to; nothing when it is not, or is locked elsewhere. */
export async function tryLockPushed(
  runner: Runner,
  namespace: string,
  id: string,
): Promise<ControllerReading<PushedController> | undefined> {
  const [controller] = await rows<ControllerReading<PushedController>>(
    runner,
    sql`
      select ${names}, date_trunc('milliseconds', clock_timestamp()) as now from controllers
      where namespace = ${namespace} and id = ${id} and enabled and url is not null
      for no key update skip locked`,
  )
  return controller
}
