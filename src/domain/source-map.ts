// From a verified message to a signal: what its templates make of it, and what it lacks.

import type { SourceRecord } from './source.ts'
import { eventIdTemplate } from './source.ts'
import { fillTemplate, parseTemplate, type TemplateSource } from './template.ts'

/** What a message is about, in the words of a signal. */
export interface MappedMessage {
  topic: string
  correlation_id: string
  /** The sender's own id; null when the message has none. */
  event_id: string | null
}

/** Why a message cannot be mapped. */
export interface MapFault {
  member: keyof MappedMessage
  message: string
}

/** Topics, correlation ids and sender's ids, in characters. */
const maxLength = 255

/** Maps a message, or says of each member what is in the way. */
export function mapMessage(
  { verify, map }: Pick<SourceRecord, 'verify' | 'map'>,
  message: TemplateSource,
): { mapped: MappedMessage } | { faults: MapFault[] } {
  const faults: MapFault[] = []
  const topic = fill('topic', map.topic)
  const correlation_id = fill('correlation_id', map.correlation_id)
  const template = eventIdTemplate(verify.scheme, map)
  const event_id = template === null ? null : eventId(template)
  return faults.length > 0 ? { faults } : { mapped: { topic, correlation_id, event_id } }

  function eventId(text: string): string | null {
    // Nobody asked for the usual id of a scheme: a kind of message that lacks it is taken without.
    if (map.event_id === undefined && 'fault' in readTemplate(text, message)) return null
    return fill('event_id', text)
  }

  function fill(member: MapFault['member'], text: string): string {
    const filled = readTemplate(text, message)
    const fault = 'fault' in filled ? filled.fault : lengthFault(filled.text)
    if (fault !== null) faults.push({ member, message: fault })
    return 'text' in filled ? filled.text : ''
  }
}

function readTemplate(text: string, message: TemplateSource): { text: string } | { fault: string } {
  const reading = parseTemplate(text)
  return 'fault' in reading
    ? { fault: `The template ${reading.fault}.` }
    : fillTemplate(reading.template, message)
}

/** What keeps a text from being a topic or an id; null when nothing does. */
function lengthFault(text: string): string | null {
  if (text === '') return 'It would be empty.'
  if (text.length > maxLength) return `It would have more than ${maxLength} characters.`
  // A form can encode it, and PostgreSQL cannot store it.
  return text.includes('\0') ? 'It would hold the NUL character.' : null
}
