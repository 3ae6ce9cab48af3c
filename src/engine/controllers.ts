// What callers do with controllers: say where their steps are pushed to and how those are retried.

import {
  type ControllerDefinition,
  type ControllerRecord,
  secretOverlap,
} from '../domain/controller.ts'
import { FlowError } from '../domain/errors.ts'
import { liveSecrets, rotated } from '../domain/signing-secret.ts'
import { after, type Timestamp } from '../domain/time.ts'
import {
  type ControllerReading,
  deleteController,
  disableController,
  insertController,
  listControllers,
  lockController,
  readController,
  updateController,
} from '../store/controllers.ts'
import { type Runner, type Scope, writerOf } from '../store/db.ts'
import type { Caller, ChangeOptions } from './change.ts'
import { decodeCursor, encodeCursor } from './cursor.ts'
import { type KeyedReply, keyedChange } from './keyed-change.ts'
import type { Report } from './notice.ts'
import { checkOutboundUrl, type OutboundRules } from './outbound-url.ts'
import { type Page, type PageRequest, pageOf } from './page.ts'
import { checkSecret, fingerprintOf, newSecret } from './signing.ts'

/** A controller as it may be shown: of its secrets only what tells those apart that still sign. */
export type ControllerView = Omit<ControllerRecord, 'secrets'> & {
  secrets: { fingerprint: string; created_at: Timestamp; expires_at: Timestamp | null }[]
}

export interface PutController extends ControllerDefinition {
  /** Signs from now on. Absent: those of before stay, and the first is made here. */
  secret?: string
}

export interface Controllers {
  /**
   * Makes a controller, or replaces all of it but its secrets. `secret` is the one that was made here:
   * it is never shown again.
   *
   * Throws `url_not_allowed`, `invalid_request`.
   */
  put(
    caller: Caller,
    id: string,
    definition: PutController,
    options?: ChangeOptions,
  ): Promise<
    KeyedReply<{ controller: ControllerView; created: boolean }> & { secret: string | null }
  >
  /** Throws `not_found`. */
  get(caller: Caller, id: string): Promise<ControllerView>
  /** By id. */
  list(caller: Caller, page: PageRequest): Promise<Page<ControllerView>>
  /** What was pushed and runs may still be settled. Throws `not_found`. */
  remove(caller: Caller, id: string, options?: ChangeOptions): Promise<{ replayed: boolean }>
}

/** The engine's own hand on controllers. */
export interface OwnControllers extends Controllers {
  /** Ends the pushing to an endpoint that says so. Throws what the database throws. */
  disable(controller: Pick<ControllerRecord, 'namespace' | 'id' | 'url'>): Promise<void>
}

export interface ControllersOptions {
  scope: Scope
  rules: OutboundRules
  report: Report
  /** Told after COMMIT what may be pushed, or pulled, otherwise than before. */
  onChanged: (namespace: string, id: string) => void
}

const goneReason = 'The endpoint answered 410 Gone.'

export function createControllers(options: ControllersOptions): OwnControllers {
  const { scope, rules, report, onChanged } = options

  /** Locks a controller, made if need be, and says whether it was. */
  async function lockOrMake(
    runner: Runner,
    fresh: Parameters<typeof insertController>[1],
  ): Promise<{ known: ControllerReading; created: boolean }> {
    const known = await lockController(runner, fresh.namespace, fresh.id)
    if (known !== undefined) return { known, created: false }
    const made = await insertController(runner, fresh)
    // Another request has just made it, and may have removed it again.
    return made === undefined ? lockOrMake(runner, fresh) : { known: made, created: true }
  }

  return {
    async put(caller, id, { secret: given, ...definition }, keys = {}) {
      const { namespace } = caller
      const url = definition.url === null ? null : checkOutboundUrl(definition.url, rules).href
      if (given !== undefined) checkSecret(given)
      let shown: string | null = null
      const reply = await keyedChange(scope, caller, keys, async (runner) => {
        const row = {
          ...definition,
          namespace,
          id,
          url,
          disabled_reason: definition.enabled ? null : 'Disabled by a request.',
          disabled_at: null,
          secrets: [],
        }
        const { known, created } = await lockOrMake(runner, row)
        const { now, secrets: before } = known
        const made = given === undefined && url !== null && before.length === 0 ? newSecret() : null
        shown = made
        const secret = given ?? made
        const isNew = secret !== null && secret !== before[0]?.secret
        const stays = !definition.enabled && !created && !known.enabled
        const controller = await updateController(runner, {
          ...row,
          ...(!definition.enabled && { disabled_at: now }),
          // Why and since when is told as long as it lasts.
          ...(stays && {
            disabled_reason: known.disabled_reason,
            disabled_at: known.disabled_at ?? now,
          }),
          secrets: isNew
            ? rotated(before, secret, now, after(now, secretOverlap))
            : liveSecrets(before, now),
        })
        return { controller: viewOf(controller), created }
      })
      if (!reply.replayed) onChanged(namespace, id)
      return { ...reply, secret: reply.replayed ? null : shown }
    },

    async get(caller, id) {
      const controller = await readController(scope, caller.namespace, id)
      if (controller === undefined) throw controllerNotFound(id)
      return viewOf(controller)
    },

    async list(caller, { limit, cursor }) {
      const bound = ['controllers', caller.namespace]
      const position = cursor === undefined ? null : decodeCursor(cursor, bound, ['name'])
      const found = await listControllers(scope, {
        namespace: caller.namespace,
        after: position === null ? null : (position[0] as string),
        limit: limit + 1,
      })
      const page = pageOf(found, limit, ({ id }) => encodeCursor(bound, [id]))
      return { ...page, items: page.items.map(viewOf) }
    },

    async remove(caller, id, keys = {}) {
      const { namespace } = caller
      const { replayed } = await keyedChange(scope, caller, keys, async (runner) => {
        if (!(await deleteController(runner, namespace, id))) throw controllerNotFound(id)
        return {}
      })
      if (!replayed) onChanged(namespace, id)
      return { replayed }
    },

    async disable({ namespace, id, url }) {
      if (url === null) return
      const reason = goneReason
      if (!(await disableController(writerOf(scope, namespace), { namespace, id, url, reason })))
        return
      report({ type: 'controller_disabled', namespace, controller_id: id, reason })
      onChanged(namespace, id)
    },
  }
}

/** The error for a controller of which nothing is known, or not for this caller. */
function controllerNotFound(id: string): FlowError {
  return new FlowError(
    'not_found',
    'Nothing was put for this controller. Check the id, or list the controllers.',
    { resource: 'controller', ...(id.length <= 100 && { id }) },
  )
}

function viewOf({ now, secrets, ...controller }: ControllerReading): ControllerView {
  return {
    ...controller,
    secrets: liveSecrets(secrets, now).map(({ secret, created_at, expires_at }) => ({
      fingerprint: fingerprintOf(secret),
      created_at,
      expires_at,
    })),
  }
}
