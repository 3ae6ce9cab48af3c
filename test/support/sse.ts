// A receiver of Server-Sent Events, as the HTML standard wants one, over a plain socket request.

import { get, type IncomingMessage } from 'node:http'

export interface Received {
  /** The last event id as it was when this event came. */
  id: string
  // biome-ignore lint/suspicious/noExplicitAny: tests say what they expect in it.
  data: any
}

export interface EventStreamClient {
  status: number
  headers: IncomingMessage['headers']
  events: Received[]
  /** What `EventSource` would send when it comes back. */
  lastEventId(): string
  /** Everything that came, as text. */
  text(): string
  ended(): boolean
  /** Stops reading, without telling the other side. */
  pause(): void
  resume(): void
  /** Goes away in the middle. */
  cut(): void
}

/** Sends the request and answers when the head of the answer is there. */
export async function openStream(
  url: string,
  headers: Record<string, string> = {},
): Promise<EventStreamClient> {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    get(url, { headers, agent: false }, resolve).on('error', reject)
  })
  const events: Received[] = []
  let all = ''
  let rest = ''
  let lastEventId = headers['last-event-id'] ?? ''
  let ended = false

  function dispatch(block: string): void {
    const data: string[] = []
    for (const line of block.split('\n')) {
      const colon = line.indexOf(':')
      const field = colon < 0 ? line : line.slice(0, colon)
      const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '')
      if (field === 'id') lastEventId = value
      else if (field === 'data') data.push(value)
      else if (field === 'event') throw new Error(`onmessage would not get ${value}`)
    }
    if (data.length > 0) events.push({ id: lastEventId, data: JSON.parse(data.join('\n')) })
  }

  response.setEncoding('utf8')
  response.on('data', (chunk: string) => {
    all += chunk
    const blocks = (rest + chunk).split('\n\n')
    rest = blocks.pop() ?? ''
    for (const block of blocks) dispatch(block)
  })
  response.on('error', () => {})
  response.on('close', () => {
    ended = true
  })
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    events,
    lastEventId: () => lastEventId,
    text: () => all,
    ended: () => ended,
    pause: () => void response.pause(),
    resume: () => void response.resume(),
    cut: () => void response.destroy(),
  }
}
