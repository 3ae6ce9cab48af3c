// What callers do with the sources of inbound webhooks: define, read, replace and remove them.

import { FlowError, invalid } from '../domain/errors.ts'
import {
  reservedSourceId,
  type SourceDefinition,
  type SourceRecord,
  sourceIdPattern,
} from '../domain/source.ts'
import { checkSource } from '../domain/source-check.ts'
import type { Scope } from '../store/db.ts'
import {
  deleteSource,
  insertSource,
  listSources,
  lockSource,
  readSource,
  updateSource,
} from '../store/sources.ts'
import type { Caller, ChangeOptions } from './change.ts'
import { decodeCursor, encodeCursor } from './cursor.ts'
import { type KeyedReply, keyedChange } from './keyed-change.ts'
import { type Page, type PageRequest, pageOf } from './page.ts'
import { fingerprintOf } from './signing.ts'

/** A source as it may be shown: of its secrets only what tells them apart. */
export type SourceView = Omit<SourceRecord, 'secrets'> & { secrets: { fingerprint: string }[] }

export interface Sources {
  /** Throws `already_exists`. */
  create(
    caller: Caller,
    id: string,
    definition: SourceDefinition,
    options?: ChangeOptions,
  ): Promise<KeyedReply<SourceView>>
  /** Throws `not_found`. */
  get(caller: Caller, id: string): Promise<SourceView>
  /** Newest first. */
  list(caller: Caller, page: PageRequest): Promise<Page<SourceView>>
  /** Throws `not_found`. Without secrets those of before stay, as long as the scheme does. */
  replace(
    caller: Caller,
    id: string,
    definition: SourceDefinition,
    options?: ChangeOptions,
  ): Promise<KeyedReply<SourceView>>
  /** Throws `not_found`. Its messages stay until their retention is over. */
  remove(caller: Caller, id: string, options?: ChangeOptions): Promise<{ replayed: boolean }>
}

export interface SourcesOptions {
  scope: Scope
  /** Whether sources may go unverified. */
  allowUnsigned: boolean
  /** The longest that a signal may be kept, in milliseconds. */
  maxTtl: number
}

export function createSources({ scope, allowUnsigned, maxTtl }: SourcesOptions): Sources {
  function check(definition: SourceDefinition): void {
    checkSource(definition, allowUnsigned)
    const { ttl_ms: ttl } = definition
    if (ttl === null || ttl <= maxTtl) return
    throw new FlowError(
      'limit_exceeded',
      `A signal is kept for ${maxTtl / 86_400_000} days at most: send a shorter ttl.`,
      { limit: 'signal_ttl_ms', maximum: maxTtl, actual: ttl },
    )
  }

  return {
    async create(caller, id, definition, options = {}) {
      if (id === reservedSourceId) {
        throw invalid(
          '/id',
          'reserved',
          `The id ${id} belongs to the NATS bridge: choose another one.`,
        )
      }
      check(definition)
      const secrets = definition.secrets ?? (definition.verify.scheme === 'none' ? [] : null)
      if (secrets === null) throw secretsMissing('A new source needs its secrets: send them.')
      return keyedChange(scope, caller, options, async (runner) => {
        const { namespace } = caller
        const made = await insertSource(runner, { ...definition, namespace, id, secrets })
        if (made !== undefined) return viewOf(made)
        throw new FlowError(
          'already_exists',
          `There is a source ${id} already: choose another id, or replace it with PUT.`,
          { resource: 'source', id },
        )
      })
    },

    async get(caller, id) {
      const source = isSourceId(id) ? await readSource(scope, caller.namespace, id) : undefined
      if (source === undefined) throw sourceNotFound(id)
      return viewOf(source)
    },

    async list(caller, { limit, cursor }) {
      const bound = ['sources', caller.namespace]
      const position =
        cursor === undefined ? null : decodeCursor(cursor, bound, ['timestamp', 'name'])
      const found = await listSources(scope, {
        namespace: caller.namespace,
        ...(position !== null && {
          before: { created_at: position[0] as string, id: position[1] as string },
        }),
        limit: limit + 1,
      })
      const page = pageOf(found, limit, ({ created_at, id }) =>
        encodeCursor(bound, [created_at, id]),
      )
      return { ...page, items: page.items.map(viewOf) }
    },

    async replace(caller, id, definition, options = {}) {
      if (!isSourceId(id)) throw sourceNotFound(id)
      check(definition)
      const { namespace } = caller
      return keyedChange(scope, caller, options, async (runner) => {
        const known = await lockSource(runner, namespace, id)
        if (known === undefined) throw sourceNotFound(id)
        const { scheme } = definition.verify
        const kept = scheme === 'none' ? [] : known.verify.scheme === scheme ? known.secrets : null
        const secrets = definition.secrets ?? kept
        if (secrets === null) {
          throw secretsMissing('Another scheme needs other secrets: send them.')
        }
        return viewOf(await updateSource(runner, { ...definition, namespace, id, secrets }))
      })
    },

    async remove(caller, id, options = {}) {
      if (!isSourceId(id)) throw sourceNotFound(id)
      const { replayed } = await keyedChange(scope, caller, options, async (runner) => {
        if (!(await deleteSource(runner, caller.namespace, id))) throw sourceNotFound(id)
        return {}
      })
      return { replayed }
    },
  }
}

const sourceId = new RegExp(sourceIdPattern)

/** Whether a text can be a source's id: what cannot must not get into a statement. */
export function isSourceId(text: string): boolean {
  return sourceId.test(text)
}

function secretsMissing(message: string): FlowError {
  return invalid('/verify/secrets', 'required', message)
}

/** The error for a source that does not exist, or not for this caller. */
export function sourceNotFound(id: string): FlowError {
  return new FlowError(
    'not_found',
    'There is no source with this id. Check the id, or list the sources.',
    { resource: 'source', ...(id.length <= 100 && { id }) },
  )
}

function viewOf(source: SourceRecord): SourceView {
  return {
    namespace: source.namespace,
    id: source.id,
    verify: source.verify,
    secrets: source.secrets.map((secret) => ({ fingerprint: fingerprintOf(secret) })),
    map: source.map,
    ttl_ms: source.ttl_ms,
    deliver: source.deliver,
    created_at: source.created_at,
    updated_at: source.updated_at,
  }
}
