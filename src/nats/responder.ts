// Answers requests over core NATS: a signal in, its fate out.

import type { Msg, NatsConnection, Subscription } from '@nats-io/transport-node'
import { type SignalReceipt, signalReceipt } from '../contract/signal.ts'
import { errorMembers, FlowError } from '../domain/errors.ts'
import type { JsonObject } from '../domain/json.ts'
import type { Caller } from '../engine/change.ts'
import type { Signals } from '../engine/signals.ts'
import { type MessageLimits, readMessage, senderOf } from './message.ts'
import { headersOf } from './stream.ts'

export interface ResponderOptions {
  subject: string
  /** Of all processes with the same queue group one answers. */
  queue: string
  signals: Pick<Signals, 'send'>
  caller: Caller
  limits: MessageLimits
}

export interface Responder {
  /** Begins to answer if it does not. The subscription outlives reconnects. */
  ensure(connection: NatsConnection): void
  /** Takes no more requests; resolves when those taken are answered. */
  stop(): Promise<void>
}

export function createResponder(options: ResponderOptions): Responder {
  const underWay = new Set<Promise<void>>()
  let made: { connection: NatsConnection; subscription: Subscription } | null = null

  async function answer(request: Msg): Promise<void> {
    const reply = await fateOf(request, options)
    // Who asks for no answer gets none; the signal is sent all the same.
    if (request.reply) request.respond(JSON.stringify(reply))
  }

  return {
    ensure(connection) {
      if (made?.connection === connection && !made.subscription.isClosed()) return
      const subscription = connection.subscribe(options.subject, {
        queue: options.queue,
        callback: (error, request) => {
          if (error !== null) return
          const work = answer(request).catch(() => {})
          underWay.add(work)
          void work.then(() => underWay.delete(work))
        },
      })
      made = { connection, subscription }
    },
    async stop() {
      const subscription = made?.subscription
      made = null
      // What the server has sent already is still answered.
      if (subscription !== undefined && !subscription.isClosed()) {
        await subscription.drain().catch(() => {})
      }
      await Promise.all(underWay)
    },
  }
}

async function fateOf(
  request: Msg,
  { signals, caller, limits }: ResponderOptions,
): Promise<SignalReceipt | JsonObject> {
  try {
    const message = {
      subject: request.subject,
      headers: headersOf(request.headers),
      data: request.data,
    }
    return signalReceipt(
      await signals.send(senderOf(caller, message), readMessage(message, limits, null)),
    )
  } catch (error) {
    if (error instanceof FlowError) {
      return { error: error.code, message: error.message, ...errorMembers(error) }
    }
    return { error: 'internal', message: 'The service failed on this request.' }
  }
}
