// The settings of the bridge: what is wrong with them, and what they come to. Loads no package.

import { parseTemplate, type Template } from '../domain/template.ts'
import type { BridgeOptions } from './bridge.ts'
import { eventSubjects, overlap, subjectFault } from './subject.ts'

/** The variables that the bridge reads. */
export interface NatsSettings {
  NATS_URL?: string | undefined
  TASKFLOW_NATS_CREDENTIALS_FILE?: string | undefined
  TASKFLOW_NATS_NAMESPACE: string
  TASKFLOW_NATS_STREAM: string
  TASKFLOW_NATS_CREATE_STREAM: boolean
  TASKFLOW_NATS_SUBJECT: string
  TASKFLOW_NATS_DURABLE: string
  TASKFLOW_NATS_MAX_DELIVER: number
  TASKFLOW_NATS_TOPIC?: string | undefined
  TASKFLOW_NATS_CORRELATION_ID?: string | undefined
  TASKFLOW_NATS_REQUEST_SUBJECT: string
  TASKFLOW_NATS_EVENTS: boolean
  TASKFLOW_BODY_LIMIT_BYTES: number
  TASKFLOW_JSON_DEPTH: number
}

/** Turns a part of the bridge off. */
const off = 'off'

/** Mistakes, each as a sentence that says how to mend it. */
export function settingFaults(settings: NatsSettings): string[] {
  if (settings.NATS_URL === undefined) return []
  return [
    ...urlFaults(settings.NATS_URL),
    ...nameFaults(settings),
    ...subjectFaults(settings),
    ...templateFaults(settings),
  ]
}

function urlFaults(text: string): string[] {
  const urls = text.split(',').map((url) => url.trim())
  if (urls.every((url) => /^(nats|tls):\/\/[^/\s]+\/?$/.test(url) && URL.canParse(url))) return []
  // The value may hold a password: it is not repeated.
  return [
    'NATS_URL must be nats:// or tls:// URLs separated by commas, as in nats://user:password@host:4222.',
  ]
}

function nameFaults(settings: NatsSettings): string[] {
  return (['TASKFLOW_NATS_STREAM', 'TASKFLOW_NATS_DURABLE'] as const)
    .filter((name) => !/^[\w-]{1,64}$/.test(settings[name]))
    .map((name) => `${name}=${settings[name]} must be 1 to 64 letters, digits, _ and -.`)
}

/** Subjects that cannot be, and those that meet: a stream would answer requests itself, or take events for signals. */
function subjectFaults(settings: NatsSettings): string[] {
  const used: [string, string][] = []
  const faults: string[] = []
  const use = (
    name: 'TASKFLOW_NATS_SUBJECT' | 'TASKFLOW_NATS_REQUEST_SUBJECT',
    wildcards: boolean,
  ) => {
    const fault = subjectFault(settings[name], { wildcards })
    if (fault !== null) faults.push(`${name}=${settings[name]} cannot be used: it ${fault}.`)
    used.push([name, settings[name]])
  }
  if (settings.TASKFLOW_NATS_STREAM !== off) use('TASKFLOW_NATS_SUBJECT', true)
  if (settings.TASKFLOW_NATS_REQUEST_SUBJECT !== off) use('TASKFLOW_NATS_REQUEST_SUBJECT', false)
  if (settings.TASKFLOW_NATS_EVENTS) used.push(['TASKFLOW_NATS_EVENTS', `${eventSubjects}.>`])
  for (const [i, [one, left]] of used.entries()) {
    for (const [other, right] of used.slice(i + 1)) {
      if (!overlap(left, right)) continue
      faults.push(`${one} and ${other} meet (${left} and ${right}): keep their subjects apart.`)
    }
  }
  return faults
}

function templateFaults(settings: NatsSettings): string[] {
  const faults: string[] = []
  if (
    settings.TASKFLOW_NATS_TOPIC !== undefined &&
    settings.TASKFLOW_NATS_CORRELATION_ID === undefined
  ) {
    faults.push('TASKFLOW_NATS_TOPIC needs TASKFLOW_NATS_CORRELATION_ID: set both or neither.')
  }
  for (const name of ['TASKFLOW_NATS_TOPIC', 'TASKFLOW_NATS_CORRELATION_ID'] as const) {
    const reading = parseTemplate(settings[name] ?? '', { subject: true })
    if ('fault' in reading) faults.push(`${name} ${reading.fault}.`)
  }
  return faults
}

/** What the bridge is told. The settings must be without faults. */
export function bridgeSettings(settings: NatsSettings): Omit<BridgeOptions, 'engine' | 'report'> {
  const { TASKFLOW_NATS_STREAM: stream, TASKFLOW_NATS_DURABLE: durable } = settings
  const { TASKFLOW_NATS_REQUEST_SUBJECT: subject } = settings
  const { TASKFLOW_NATS_CREDENTIALS_FILE: file } = settings
  const { TASKFLOW_NATS_TOPIC: topic, TASKFLOW_NATS_CORRELATION_ID: correlation } = settings
  return {
    connection: {
      url: settings.NATS_URL ?? '',
      name: 'taskflow',
      ...(file !== undefined && { credentials_file: file }),
    },
    namespace: settings.TASKFLOW_NATS_NAMESPACE,
    limits: {
      body_bytes: settings.TASKFLOW_BODY_LIMIT_BYTES,
      json_depth: settings.TASKFLOW_JSON_DEPTH,
    },
    inbound:
      stream === off
        ? null
        : {
            stream,
            durable,
            subject: settings.TASKFLOW_NATS_SUBJECT,
            create: settings.TASKFLOW_NATS_CREATE_STREAM,
            maxTries: settings.TASKFLOW_NATS_MAX_DELIVER,
            map:
              correlation === undefined
                ? null
                : {
                    topic: templateOf(topic ?? '{subject}'),
                    correlation_id: templateOf(correlation),
                  },
          },
    requests: subject === off ? null : { subject, queue: durable },
    events: settings.TASKFLOW_NATS_EVENTS,
  }
}

function templateOf(text: string): Template {
  const reading = parseTemplate(text, { subject: true })
  if ('fault' in reading) throw new TypeError(`${text} ${reading.fault}`)
  return reading.template
}
