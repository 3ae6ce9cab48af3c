// One request to the service, and what can go wrong with it before there is an answer.

import { CommandError, exits } from './errors.ts'

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

export interface Call {
  method: Method
  /** From the root of the service, with its query. */
  path: string
  headers?: Record<string, string>
  /** The JSON that is sent, as text. */
  body?: string
  /** Whether the answer is a stream. */
  stream?: boolean
}

export interface Answer {
  status: number
  headers: Headers
  /** The body as it came. */
  text: string
}

export interface Target {
  /** Without a slash at its end. */
  base: string
  key: string | undefined
  /** For an answer to be there, in milliseconds. */
  maxTime: number
}

/** Sends it and answers what came, whatever its status. The caller reads the body. */
export async function open(target: Target, call: Call, signal?: AbortSignal): Promise<Response> {
  const limit = AbortSignal.timeout(target.maxTime)
  try {
    return await fetch(target.base + call.path, {
      method: call.method,
      headers: {
        accept: call.stream === true ? 'text/event-stream' : 'application/json',
        ...(target.key !== undefined && { authorization: `Bearer ${target.key}` }),
        ...(call.body !== undefined && { 'content-type': 'application/json' }),
        ...call.headers,
      },
      ...(call.body !== undefined && { body: call.body }),
      // A key must not follow to wherever an answer points.
      redirect: 'manual',
      signal: signal === undefined ? limit : AbortSignal.any([signal, limit]),
    })
  } catch (error) {
    throw unanswered(target, error)
  }
}

/** Sends it and reads the answer. */
export async function request(target: Target, call: Call): Promise<Answer> {
  const response = await open(target, call)
  try {
    return { status: response.status, headers: response.headers, text: await response.text() }
  } catch (error) {
    throw unanswered(target, error)
  }
}

function unanswered(target: Target, error: unknown): unknown {
  if (!(error instanceof Error)) return error
  if (error.name === 'AbortError') return error
  if (error.name === 'TimeoutError') {
    return new CommandError(exits.timedOut, {
      what: `${target.base} did not answer within ${target.maxTime / 1000} s`,
      why: 'The service is busy, or something between here and there swallows the request.',
      repair: 'give it more time with --max-time, or see what taskflow doctor says there',
    })
  }
  const cause: unknown = error.cause
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : error.message
  return new CommandError(exits.unreachable, {
    what: `no service answers at ${target.base} (${code})`,
    why: 'It does not run, or it listens somewhere else: --url and TASKFLOW_URL say where.',
    repair: 'taskflow serve',
  })
}

/** A path with its segments encoded: `path('flows', id, 'start')`. */
export function path(...segments: readonly string[]): string {
  return `/${segments.map(encodeURIComponent).join('/')}`
}

/** A query from what is given; absent values are left out, lists repeat their name. */
export function query(
  values: Readonly<Record<string, string | readonly string[] | undefined>>,
): string {
  const pairs = Object.entries(values).flatMap(([name, value]) =>
    value === undefined ? [] : [value].flat().map((one) => [name, one]),
  )
  if (pairs.length === 0) return ''
  return `?${pairs.map(([name = '', value = '']) => `${encoded(name)}=${encoded(value)}`).join('&')}`
}

/** With the apostrophe too, as in a URL that was parsed: so the request is the same whoever sends it. */
function encoded(text: string): string {
  return encodeURIComponent(text).replaceAll("'", '%27')
}
