// What a stream of events is: items on their way to a receiver, each with the position that it leaves.

import type { FlowEvent } from '../domain/event.ts'

export interface StreamItem {
  /** Given back to go on behind this event. */
  position: string
  event: FlowEvent
}

/** Where a stream goes. None of it throws. */
export interface Sink {
  /** Takes items in their order. Receivers of the same get the same array, which never changes. */
  send(items: readonly StreamItem[]): void
  /** Resolves when all that was sent is on its way, or the receiver has gone. */
  drained(): Promise<void>
  /** There will be no more. */
  end(): void
}

/** A stream that is ready to begin. */
export interface EventStream {
  start(sink: Sink): void
  /** Everything up to here has been sent, as far as it was asked for; null before the first event. */
  position(): string | null
  /** The receiver has gone. Must be called; safe to call twice. */
  close(): void
}

/** Waits before a read that failed is tried again, in milliseconds; streams outlive a database's restart. */
export function pauseAfterFailure(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 250 + Math.random() * 500))
}
