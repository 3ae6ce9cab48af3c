// Events as they happen (Server-Sent Events), over as many connections as that takes.

import { setTimeout as sleep } from 'node:timers/promises'
import type { FlowEventPage } from '../contract/event.ts'
import { Ended, exits } from './errors.ts'
import { refusal } from './refusal.ts'
import { open, query } from './request.ts'
import type { Session } from './session.ts'
import { asCurl } from './shell.ts'
import { eventLine } from './words.ts'

/** A stream that gives no sign of life for so long, in milliseconds, is dead; the service gives one every 15 s. */
const silence = 60_000
/** Failed connections in a row before the command gives up. */
const patience = 10

interface Message {
  id: string | null
  retry: number | null
  data: string
}

/** Prints events until the service says that no more will come. With `--json`, one document a line. */
export async function followEvents(
  session: Session,
  address: string,
  filter: Readonly<Record<string, string | readonly string[] | undefined>>,
): Promise<void> {
  const { settings } = session
  const call = { method: 'GET', path: address + query(filter), stream: true } as const
  if (settings.curl) {
    session.print(asCurl(settings.base, call, settings.key !== undefined))
    throw new Ended(exits.ok)
  }
  let position: string | null = null
  let pause = 1_000
  for (let failures = 0; ; ) {
    try {
      const quiet = new AbortController()
      const headers = position === null ? {} : { 'last-event-id': position }
      // Only the answer has to be there in time; the stream itself lasts as long as it lasts.
      const response = await open(
        { ...settings, maxTime: 2 ** 31 - 1 },
        { ...call, headers },
        quiet.signal,
      )
      if (response.status === 204) return
      if (response.status !== 200 || response.body === null) {
        const { status, headers: got } = response
        throw refusal(
          { status, headers: got, text: await response.text() },
          settings.base,
          session.name,
        )
      }
      failures = 0
      for await (const message of messagesOf(response.body, quiet)) {
        position = message.id ?? position
        pause = message.retry ?? pause
        if (message.data === '') continue
        const event: FlowEventPage['items'][number] = JSON.parse(message.data)
        session.print(settings.json ? message.data : eventLine(event))
      }
    } catch (error) {
      const refused = error instanceof Error && 'document' in error && error.document !== undefined
      failures += 1
      // With no position yet nothing ever worked: it is not the connection that is at fault.
      if (refused || position === null || failures >= patience) throw error
    }
    await sleep(pause)
  }
}

/** The messages of a stream. Ends with it; aborts it when it falls silent. */
async function* messagesOf(
  body: ReadableStream<Uint8Array>,
  quiet: AbortController,
): AsyncGenerator<Message> {
  const decoder = new TextDecoder()
  let rest = ''
  let alarm = setTimeout(() => quiet.abort(), silence)
  try {
    for await (const bytes of body) {
      clearTimeout(alarm)
      alarm = setTimeout(() => quiet.abort(), silence)
      rest += decoder.decode(bytes, { stream: true })
      const blocks = rest.split('\n\n')
      rest = blocks.pop() ?? ''
      for (const block of blocks) yield messageOf(block)
    }
  } finally {
    clearTimeout(alarm)
  }
}

function messageOf(block: string): Message {
  const message: Message = { id: null, retry: null, data: '' }
  for (const line of block.split('\n')) {
    const [, name, value = ''] = /^(\w*):? ?(.*)$/.exec(line) ?? []
    if (name === 'id') message.id = value
    else if (name === 'retry') message.retry = Number(value)
    else if (name === 'data') message.data += message.data === '' ? value : `\n${value}`
  }
  return message
}
