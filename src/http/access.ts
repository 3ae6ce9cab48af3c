// What each route asks of its caller, and who the caller is: the one place where a request is let in.

import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import { type Action, permits } from '../domain/binding.ts'
import { FlowError } from '../domain/errors.ts'
import type { Credentials, Identity } from '../engine/credentials.ts'

/**
 * What a caller needs for a route: one of some actions, any of the tool's, or just a key. `open` routes are
 * for everybody: they give nothing away, or know their callers by other means.
 */
export type Access =
  | { any: readonly Action[]; wide?: boolean }
  | { tool: true }
  | { key: true }
  | { open: true }

/** One of these actions lets a caller in. */
export function needs(...any: Action[]): { access: Access } {
  return { access: { any } }
}

/** The same for what is not of single flows: who is held to one owner or to some controllers stays out. */
export function needsAll(...any: Action[]): { access: Access } {
  return { access: { any, wide: true } }
}

/** Any action of the tool; which one, the tool judges itself. */
export const needsTool: { access: Access } = { access: { tool: true } }
/** Any key. */
export const needsKey: { access: Access } = { access: { key: true } }
/** Nothing. */
export const open: { access: Access } = { access: { open: true } }

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What the route asks of its caller. A route without it cannot be registered. */
    access?: Access
  }
  interface FastifyRequest {
    /** Who asks; null until it is known, and on open routes. */
    identity: Identity | null
  }
}

export interface AccessOptions {
  /** Asked when a request comes, and not before. */
  engine: { readonly credentials: Credentials }
  /** Whether the service is only for this machine and needs no key: then it must be told from web pages. */
  hosts: ReadonlySet<string> | null
}

/** How often the key of an answer that takes long is looked at again, in milliseconds. */
const lookAgain = 1_000

/** Holds every route that is registered from now on to what it asks for. */
export function guardRoutes(app: FastifyInstance, { engine, hosts }: AccessOptions): void {
  app.decorateRequest('identity', null)
  app.addHook('onRoute', (route: RouteOptions) => {
    if (route.config?.access !== undefined) return
    // Pages for people, of this service and of its plugins: none shows what a caller has.
    const { schema } = route
    if (schema !== undefined && 'hide' in schema && schema.hide === true) {
      route.config = { ...route.config, ...open }
      return
    }
    throw new Error(`The route ${route.method} ${route.url} does not say what it asks of callers.`)
  })
  app.addHook('onRequest', async (request, reply) => {
    if (request.is404) return
    const access = request.routeOptions.config.access
    // Default deny, whatever was forgotten.
    if (access === undefined) throw new Error('a route was let through without its access')
    if ('open' in access) return
    const identity = await identify(request, reply)
    request.identity = identity
    const refusal = judge(access, identity)
    if (refusal !== undefined) throw refusal
    if (request.routeOptions.config.longPoll === true) watchKey(request, reply, access, identity)
  })

  /** Ends an answer that takes long when its key ends, may no more, or sees other flows than it did. */
  function watchKey(
    request: FastifyRequest,
    reply: FastifyReply,
    access: Access,
    identity: Identity,
  ): void {
    const key = bearerOf(request)
    if (identity.key === null || key === undefined) return
    const sight = JSON.stringify(identity.caller)
    async function look(): Promise<void> {
      const now = await engine.credentials.authenticate(key as string)
      if (now !== null && judge(access, now) === undefined) {
        if (JSON.stringify(now.caller) === sight) return
      }
      reply.raw.destroy()
    }
    // While the database is away there is nothing that could be told.
    const timer = setInterval(() => look().catch(() => {}), lookAgain)
    timer.unref()
    reply.raw.once('close', () => clearInterval(timer))
  }

  async function identify(request: FastifyRequest, reply: FastifyReply): Promise<Identity> {
    const { credentials } = engine
    const key = bearerOf(request)
    const identity = key === undefined ? credentials.anonymous : await credentials.authenticate(key)
    if (identity === null) {
      reply.header('www-authenticate', 'Bearer realm="taskflow"')
      throw new FlowError('unauthenticated', 'Send a valid key: Authorization: Bearer tf_…', {})
    }
    if (identity === credentials.anonymous && hosts !== null) refuseWebPages(request, hosts)
    return identity
  }
}

function bearerOf(request: FastifyRequest): string | undefined {
  const header = request.headers.authorization
  if (header === undefined) return undefined
  // What is no bearer token is a wrong key, not none.
  return /^Bearer +(\S+) *$/i.exec(header)?.[1] ?? ''
}

/** Why a caller is not let in, or undefined. */
function judge(access: Access, { grants, caller }: Identity): FlowError | undefined {
  if ('tool' in access) {
    const some = grants.some((grant) => grant === '*' || grant.startsWith('tool:'))
    return some ? undefined : missing('tool:*')
  }
  if (!('any' in access)) return undefined
  const [first] = access.any
  if (!access.any.some((action) => permits(grants, action))) return missing(first ?? '*')
  const narrow = caller.owner_session_key !== undefined || caller.controllers !== undefined
  if (access.wide !== true || !narrow) return undefined
  return new FlowError(
    'forbidden',
    'This is not of one flow, and the key is held to some: use a key without owner and controllers.',
    { ...(first && { action: first }) },
  )
}

function missing(action: string): FlowError {
  return new FlowError(
    'forbidden',
    `This key does not allow ${action}. Ask for it, or use another key.`,
    { action },
  )
}

/**
 * A browser on this machine reaches the service as well, and with it every page that it shows. Pages of
 * others are told by what browsers say of them, and by the name under which they found this address.
 */
function refuseWebPages(request: FastifyRequest, hosts: ReadonlySet<string>): void {
  const site = request.headers['sec-fetch-site']
  const navigates = request.method === 'GET' && request.headers['sec-fetch-mode'] === 'navigate'
  const { origin } = request.headers
  const foreign =
    (site === 'cross-site' && !navigates) ||
    (origin !== undefined && origin !== 'null' && !hosts.has(hostOf(origin))) ||
    !hosts.has(hostOf(`http://${request.headers.host ?? ''}`))
  if (!foreign) return
  throw new FlowError(
    'forbidden',
    'Without keys the service answers programs of this machine alone, not pages of other sites.',
    {},
  )
}

/** The name in an address, without its port. */
function hostOf(address: string): string {
  return URL.canParse(address) ? new URL(address).hostname.toLowerCase() : ''
}

/** The names under which the service is known, when it is only for this machine. */
export function localHosts(host: string, publicUrl: string | undefined): ReadonlySet<string> {
  const own = host.includes(':') ? `[${host}]` : host
  const names = ['localhost', '127.0.0.1', '[::1]', own.toLowerCase()]
  return new Set(publicUrl === undefined ? names : [...names, hostOf(publicUrl)])
}
