// Bindings: made, changed, and given keys, by those who may, and never wider than they are themselves.

import { hash, randomBytes } from 'node:crypto'
import {
  type BindingKeyRecord,
  type BindingRecord,
  type Bounds,
  formatKey,
  reservedNames,
  widened,
} from '../domain/binding.ts'
import { FlowError, invalid } from '../domain/errors.ts'
import { isId } from '../domain/id.ts'
import type { Timestamp } from '../domain/time.ts'
import {
  type BindingSight,
  bindingsWithin,
  countLiveKeys,
  deleteBinding,
  deleteExpiredKeys,
  deleteKey,
  insertBinding,
  insertKey,
  listBindings,
  listKeys,
  lockBinding,
  readBinding,
  updateBinding,
} from '../store/bindings.ts'
import { type Runner, readerOf, type Scope } from '../store/db.ts'
import { toFlowError } from '../store/errors.ts'
import type { ChangeOptions } from './change.ts'
import type { Credentials, Identity } from './credentials.ts'
import { decodeCursor, encodeCursor } from './cursor.ts'
import { mintId } from './ids.ts'
import { type KeyedReply, keyedChange } from './keyed-change.ts'
import { type Page, type PageRequest, pageOf } from './page.ts'

/** A binding as it is asked for. */
export interface BindingInput extends Bounds {
  name: string
  /** That of the caller when absent. */
  namespace?: string
  expires_at: Timestamp | null
}

export type BindingPatch = Partial<Bounds & { expires_at: Timestamp | null }>

/** A key that was made; `key` is its text, and null in every answer but the first. */
export type MadeKey = BindingKeyRecord & { key: string | null }

export interface KeyInput {
  name: string | null
  /** In milliseconds; null: it does not expire. */
  expires_in: number | null
}

export interface Bindings {
  /** Throws `already_exists`, `forbidden` when it would be wider than who asks. */
  create(
    who: Identity,
    input: BindingInput,
    options?: ChangeOptions,
  ): Promise<KeyedReply<BindingRecord>>
  get(who: Identity, id: string): Promise<BindingRecord & { keys: BindingKeyRecord[] }>
  list(who: Identity, page: PageRequest): Promise<Page<BindingRecord>>
  update(
    who: Identity,
    id: string,
    patch: BindingPatch,
    options?: ChangeOptions,
  ): Promise<KeyedReply<BindingRecord>>
  remove(who: Identity, id: string, options?: ChangeOptions): Promise<{ replayed: boolean }>
  /** Throws `limit_exceeded` past two live keys. */
  addKey(
    who: Identity,
    id: string,
    input: KeyInput,
    options?: ChangeOptions,
  ): Promise<KeyedReply<MadeKey>>
  removeKey(
    who: Identity,
    id: string,
    keyId: string,
    options?: ChangeOptions,
  ): Promise<{ replayed: boolean }>
  /** A key of the same binding that may less, and expires. */
  mintKey(
    who: Identity,
    input: { name: string | null; expires_in: number; narrowed: Partial<Bounds> },
    options?: ChangeOptions,
  ): Promise<KeyedReply<MadeKey>>
}

/** Enough to replace one while the other is still in use. */
const ownKeys = 2
/** Keys that were minted and have not expired, of one binding. */
const mintedKeys = 1_000

/** @param env what keys are marked with, so that one of a trial is told from one of the real thing. */
export function createBindings(scope: Scope, credentials: Credentials, env: string): Bindings {
  async function change<Value extends object>(
    who: Identity,
    options: ChangeOptions,
    work: (runner: Runner) => Promise<Value>,
  ): Promise<KeyedReply<Value>> {
    // The first administrator makes bindings of any namespace; a key, those of its own.
    const within = bindingsWithin(sightOf(who))
    const reply = await keyedChange(scope, who.caller, options, work, { within })
    credentials.changed()
    return reply
  }

  /** Makes a key. Its text is never kept, so that a repeat is answered without it. */
  async function makeKey(
    who: Identity,
    options: ChangeOptions,
    work: (runner: Runner, fresh: { id: string; hash: Buffer }) => Promise<BindingKeyRecord>,
  ): Promise<KeyedReply<MadeKey>> {
    const id = mintId()
    const key = formatKey(env, id, randomBytes(32).toString('base64url'))
    const fresh = { id, hash: hash('sha256', key, 'buffer') }
    const { value, replayed } = await change(who, options, (runner) => work(runner, fresh))
    return { value: { ...value, key: replayed ? null : key }, replayed }
  }

  return {
    async create(who, input, options = {}) {
      const { namespace = who.caller.namespace, name } = input
      if (namespace !== who.caller.namespace && who.key !== null) {
        throw forbiddenMember('/namespace', 'A key makes bindings of its own namespace alone.')
      }
      if (reservedNames.includes(name)) {
        throw invalid('/name', 'reserved', `The service itself is called ${name}: choose another.`)
      }
      refuseWider(who, input)
      return change(who, options, async (runner) => {
        const made = await insertBinding(runner, { ...input, id: mintId(), namespace })
        if (made !== undefined) return made
        throw new FlowError(
          'already_exists',
          `There is a binding ${name} already: choose another name, or change that one.`,
          { resource: 'binding', id: name },
        )
      })
    },

    async get(who, id) {
      const binding = isId(id) ? await readBinding(scope, sightOf(who), id) : undefined
      if (binding === undefined) throw bindingNotFound()
      return { ...binding, keys: await keysOf(who, id) }
    },

    async list(who, { limit, cursor }) {
      const sight = sightOf(who)
      const bound = ['bindings', sight.namespace]
      const position =
        cursor === undefined ? null : decodeCursor(cursor, bound, ['timestamp', 'id'])
      const found = await listBindings(scope, {
        ...sight,
        ...(position !== null && {
          before: { created_at: position[0] as string, id: position[1] as string },
        }),
        limit: limit + 1,
      })
      return pageOf(found, limit, ({ created_at, id }) => encodeCursor(bound, [created_at, id]))
    },

    async update(who, id, patch, options = {}) {
      if (!isId(id)) throw bindingNotFound()
      return change(who, options, async (runner) => {
        const known = await lockBinding(runner, sightOf(who), id)
        if (known === undefined) throw bindingNotFound()
        const next = { ...known, ...patch }
        // What it is afterwards counts: a binding that is wider already is not to be touched either.
        refuseWider(who, next)
        return updateBinding(runner, next)
      })
    },

    async remove(who, id, options = {}) {
      if (!isId(id)) throw bindingNotFound()
      const { replayed } = await change(who, options, async (runner) => {
        if (!(await deleteBinding(runner, sightOf(who), id))) throw bindingNotFound()
        return {}
      })
      return { replayed }
    },

    async addKey(who, id, { name, expires_in }, options = {}) {
      if (!isId(id)) throw bindingNotFound()
      return makeKey(who, options, async (runner, fresh) => {
        const binding = await lockBinding(runner, sightOf(who), id)
        if (binding === undefined) throw bindingNotFound()
        refuseWider(who, binding)
        await roomForKey(runner, id, false, ownKeys)
        return insertKey(runner, {
          ...fresh,
          binding_id: id,
          parent_id: null,
          name,
          narrowed: null,
          expires_in,
        })
      })
    },

    async removeKey(who, id, keyId, options = {}) {
      if (!isId(id)) throw bindingNotFound()
      if (!isId(keyId)) throw keyNotFound()
      const { replayed } = await change(who, options, async (runner) => {
        if ((await lockBinding(runner, sightOf(who), id)) === undefined) throw bindingNotFound()
        if (!(await deleteKey(runner, id, keyId))) throw keyNotFound()
        return {}
      })
      return { replayed }
    },

    async mintKey(who, { name, expires_in, narrowed }, options = {}) {
      const { key } = who
      if (key === null) {
        throw new FlowError(
          'forbidden',
          'Only keys of bindings mint keys. Make a binding by POST /bindings, and a key of it.',
          {},
        )
      }
      refuseWider(who, narrowed)
      return makeKey(who, options, async (runner, fresh) => {
        const { binding_id } = key
        if ((await lockBinding(runner, { namespace: null }, binding_id)) === undefined) {
          throw bindingNotFound()
        }
        await roomForKey(runner, binding_id, true, mintedKeys)
        return insertKey(runner, {
          ...fresh,
          binding_id,
          parent_id: key.id,
          name,
          // All that the minting key is held to, so that this one is never wider.
          narrowed: { ...who.bounds, ...narrowed },
          expires_in,
        })
      })
    },
  }

  async function keysOf(who: Identity, id: string): Promise<BindingKeyRecord[]> {
    try {
      return await listKeys(readerOf(scope, bindingsWithin(sightOf(who))), id)
    } catch (error) {
      throw toFlowError(error)
    }
  }
}

async function roomForKey(
  runner: Runner,
  bindingId: string,
  minted: boolean,
  maximum: number,
): Promise<void> {
  await deleteExpiredKeys(runner, bindingId)
  if ((await countLiveKeys(runner, bindingId, minted)) < maximum) return
  throw new FlowError(
    'limit_exceeded',
    `This binding has ${maximum} live keys already: revoke one that is not in use.`,
    { limit: 'binding_keys', maximum },
  )
}

/** Whoever came without a binding sees all; others see those of their namespace. */
function sightOf({ key, caller }: Identity): BindingSight {
  return { namespace: key === null ? null : caller.namespace }
}

function refuseWider(who: Identity, asked: Partial<Bounds>): void {
  const member = widened(who.bounds, asked)
  if (member === null) return
  const pointer = member === 'timer_max_horizon_ms' ? '/timer_max_horizon' : `/${member}`
  throw forbiddenMember(pointer, 'A key gives nothing that it does not have itself: ask for less.')
}

function forbiddenMember(pointer: string, message: string): FlowError {
  return new FlowError('forbidden', message, { pointer })
}

function bindingNotFound(): FlowError {
  return new FlowError(
    'not_found',
    'There is no binding with this id. Check the id, or list the bindings.',
    { resource: 'binding' },
  )
}

function keyNotFound(): FlowError {
  return new FlowError(
    'not_found',
    'This binding has no such key. Read the binding for its keys.',
    {
      resource: 'key',
    },
  )
}
