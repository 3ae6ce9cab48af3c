// Signs of life while a call waits, for clients that asked for them.

import type { ServerNotification } from '@modelcontextprotocol/sdk/types.js'

export interface ProgressChannel {
  progressToken?: string | number | undefined
  send(notification: ServerNotification): Promise<void>
}

/** Milliseconds between two signs: well within the time-outs of clients that count from the last one. */
const interval = 5_000

/** Runs work, and says every few seconds for how long it has. */
export async function withProgress<Value>(
  { progressToken, send }: ProgressChannel,
  work: () => Promise<Value>,
): Promise<Value> {
  if (progressToken === undefined) return work()
  const started = performance.now()
  const tell = () => {
    const progress = Math.round((performance.now() - started) / 1000)
    // A client that has gone away needs no sign of life.
    send({
      method: 'notifications/progress',
      params: { progressToken, progress, message: `waiting for ${progress} s` },
    }).catch(() => {})
  }
  tell()
  const timer = setInterval(tell, interval)
  try {
    return await work()
  } finally {
    clearInterval(timer)
  }
}
