// The one way out: sends a request to a URL that users chose, and gives back what came of it as a value.

import type { IncomingHttpHeaders } from 'node:http'
import type { Dispatcher } from 'undici'
import { FlowError } from '../domain/errors.ts'
import type { Report } from './notice.ts'
import { createConnector, type ResolveName } from './outbound-connect.ts'
import { codeOf, type FailureReason, failureOf } from './outbound-failure.ts'
import { createPool } from './outbound-pool.ts'
import { checkOutboundUrl, type OutboundRules } from './outbound-url.ts'

export interface OutboundOptions extends OutboundRules {
  /** Idle connections that are kept, to all receivers together; 64. Those in use are as many as requests. */
  idleConnections?: number
  report?: Report
  /** Instead of the system's resolver. */
  resolveName?: ResolveName
  /** Authorities to trust instead of the system's, as PEM. */
  ca?: string
}

/** One POST. */
export interface OutboundRequest {
  url: string
  headers: Readonly<Record<string, string>>
  body: Buffer | string
  /** For all of it: name, connection, headers and body of the answer. */
  timeout_ms: number
  /** Until the request has a connection; 5 s, at most 10 s. */
  connect_timeout_ms?: number
  /** How much of the body is read and kept; 64 KiB. */
  max_answer_bytes?: number
  /** Gives the request up. */
  signal?: AbortSignal
}

/** What the receiver answered, whatever its status: redirects are not followed. */
export interface OutboundResponse {
  status: number
  /** In lower case, and only those that matter here: `retry-after`, `content-type`. */
  headers: Readonly<Record<string, string>>
  body: Buffer
  /** There was more of the body than was to be read. */
  truncated: boolean
  latency_ms: number
}

export interface OutboundFailure extends FailureReason {
  latency_ms: number
}

/** Told apart by `'failure' in answer`. */
export type OutboundAnswer = OutboundResponse | OutboundFailure

export interface Outbound {
  /**
   * Sends one request, once. Faults of the network, of the receiver and of the URL are values.
   *
   * @throws when a header cannot be sent at all: `checkHeaders` refuses such before they are saved.
   */
  send(request: OutboundRequest): Promise<OutboundAnswer>
  /** Gives up what is under way, answers it `aborted`, and closes all connections. */
  close(): Promise<void>
}

type Ended = Omit<OutboundResponse, 'latency_ms'> | FailureReason

/** Answers longer than this are cut, in bytes, unless the request says otherwise. */
const defaultAnswerBytes = 65_536

const defaultConnectTimeout = 5_000

const keptHeaders = ['retry-after', 'content-type'] as const

/**
 * Makes a sender with its own connections. It takes no proxy from the environment, keeps idle
 * connections for some seconds, and holds per request no more than its body and `max_answer_bytes`.
 */
export function createOutbound(options: OutboundOptions): Outbound {
  const { report, idleConnections = 64, allowPrivate, resolveName, ca } = options
  const connect = createConnector({ allowPrivate, resolveName, ca })
  const pool = createPool({ connect, maxIdle: idleConnections })
  /** Gives up one request each. */
  const underWay = new Set<() => void>()
  let closed = false

  async function send(request: OutboundRequest): Promise<OutboundAnswer> {
    const started = performance.now()
    const ended = closed ? givenUp : await attempt(request)
    if ('failure' in ended && ended.failure === 'blocked') {
      const host = URL.canParse(request.url) ? new URL(request.url).hostname : ''
      report?.({ type: 'outbound_blocked', host, reason: ended.message })
    }
    return { ...ended, latency_ms: Math.round(performance.now() - started) }
  }

  async function attempt(request: OutboundRequest): Promise<Ended> {
    try {
      // Saved long ago, perhaps under other rules.
      return await exchange(checkOutboundUrl(request.url, options), request)
    } catch (error) {
      if (error instanceof FlowError) return failureOf(error, false)
      throw error
    }
  }

  function exchange(url: URL, request: OutboundRequest): Promise<Ended> {
    const { timeout_ms, connect_timeout_ms = defaultConnectTimeout, signal } = request
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return resolve(givenUp)
      const client = pool.take(url.origin)
      let connected = false
      let over = false
      const finish = (settle: () => void) => {
        if (over) return
        over = true
        clearTimeout(total)
        clearTimeout(connecting)
        signal?.removeEventListener('abort', giveUp)
        underWay.delete(giveUp)
        settle()
      }
      /** The rest of the answer, if there is any, is nobody's: the connection goes with it. */
      const stop = (ended: Ended) =>
        finish(() => {
          pool.drop(client)
          resolve(ended)
        })
      const giveUp = () => stop(givenUp)
      const total = setTimeout(() => {
        stop({ failure: 'timeout', message: `No whole answer within ${timeout_ms} ms.` })
      }, timeout_ms)
      const connecting = setTimeout(() => {
        stop({ failure: 'connect', message: `No connection within ${connect_timeout_ms} ms.` })
      }, connect_timeout_ms)
      underWay.add(giveUp)
      signal?.addEventListener('abort', giveUp)

      const answer = createAnswer(request.max_answer_bytes ?? defaultAnswerBytes)
      const { headers, body } = request
      client.dispatch({ path: url.pathname + url.search, method: 'POST', headers, body }, {
        onRequestStart() {
          connected = true
          clearTimeout(connecting)
        },
        onResponseStart(_, status, received) {
          const refused = answer.start(status, received)
          if (refused !== null) stop(refused)
        },
        onResponseData(_, chunk) {
          if (!answer.add(chunk)) stop(answer.made(true))
        },
        onResponseEnd() {
          finish(() => {
            pool.keep(url.origin, client)
            resolve(answer.made(false))
          })
        },
        onResponseError(_, error) {
          if (codeOf(error) !== 'UND_ERR_INVALID_ARG') return stop(failureOf(error, connected))
          finish(() => {
            pool.drop(client)
            reject(error)
          })
        },
      } satisfies Dispatcher.DispatchHandler)
    })
  }

  return {
    send,
    async close() {
      closed = true
      for (const giveUp of underWay) giveUp()
      await pool.close()
    },
  }
}

const givenUp: FailureReason = { failure: 'aborted', message: 'The sender gave the request up.' }

/** Gathers one answer, at most `maximum` bytes of its body. */
function createAnswer(maximum: number) {
  let head: Pick<OutboundResponse, 'status' | 'headers'> = { status: 0, headers: {} }
  let buffer = Buffer.alloc(0)
  let length = 0
  return {
    /** Takes status and headers; says why the answer is not taken, if it is not. */
    start(status: number, headers: IncomingHttpHeaders): FailureReason | null {
      // Interim answers: the final one follows.
      if (status < 200) return null
      head = { status, headers: keptOf(headers) }
      // Nothing is unpacked here: a few bytes can hold gigabytes.
      return (headers['content-encoding'] ?? 'identity').toLowerCase() === 'identity'
        ? null
        : { failure: 'protocol', message: 'The answer is compressed: send it as it is.' }
    },
    /** Takes a piece of the body; false when not all of it has room. */
    add(chunk: Buffer): boolean {
      // One buffer for all: a body that drips in byte by byte must not cost an object for each.
      if (length === 0) buffer = Buffer.allocUnsafe(maximum)
      const copied = chunk.copy(buffer, length)
      length += copied
      return copied === chunk.length
    },
    made: (truncated: boolean): Ended => ({
      ...head,
      body: Buffer.from(buffer.subarray(0, length)),
      truncated,
    }),
  }
}

function keptOf(headers: IncomingHttpHeaders): Record<string, string> {
  return Object.fromEntries(
    keptHeaders.flatMap((name) => {
      // A header that is there twice is a list.
      const value = [headers[name]].flat()[0]
      return value === undefined ? [] : [[name, value]]
    }),
  )
}
