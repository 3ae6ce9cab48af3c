// The configuration: environment variables, by one schema, as a frozen record. Nothing else reads the environment.

import { isIP } from 'node:net'
import type { TSchema } from 'typebox'
import { type Config, configSchema } from './config-schema.ts'
import { durationFault, parseDuration } from './domain/formats.ts'
import { nearest } from './domain/nearest.ts'
import { settingFaults } from './nats/settings.ts'

type Name = keyof Config

/** A configuration that cannot be used. The message has one sentence for each mistake and says how to mend it. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
}

const names = Object.keys(configSchema.properties) as Name[]

/** What the command line and workers read: no settings of the service, and no mistake beside them. */
const clientNames: readonly string[] = [
  'TASKFLOW_URL',
  'TASKFLOW_KEY',
  'TASKFLOW_KEY_FILE',
  'TASKFLOW_SESSION',
]

/**
 * Reads the configuration from environment variables. Empty ones count as absent.
 *
 * @throws ConfigError when a value is wrong, or a variable with our prefix is unknown: a misspelt
 *   setting that is ignored would be found out much later.
 */
export function loadConfig(env: Readonly<Record<string, string | undefined>>): Config {
  const mistakes: string[] = []
  for (const name of Object.keys(env)) {
    if (!name.startsWith('TASKFLOW_') || (names as string[]).includes(name)) continue
    if (clientNames.includes(name)) continue
    const guess = nearest(name, names)
    mistakes.push(
      guess === undefined
        ? `${name} is not a setting of this release. Remove it; .env.example lists all.`
        : `${name} is not a setting. Did you mean ${guess}?`,
    )
  }
  const config: Record<string, unknown> = {}
  for (const name of names) {
    const schema = configSchema.properties[name]
    const given = env[name]
    const text = given === undefined || given.trim() === '' ? defaultOf(schema, name) : given.trim()
    if (text === undefined) continue
    const read = readValue(schema, text)
    if ('fault' in read) mistakes.push(`${name}=${text} cannot be used: it ${read.fault}.`)
    else config[name] = read.value
  }
  if (mistakes.length === 0) mistakes.push(...conflicts(config as Config))
  if (mistakes.length > 0) throw new ConfigError(mistakes.join('\n'))
  return Object.freeze(config as Config)
}

/** The default of a variable as text; optional variables have none, whatever their schema shows as an example. */
function defaultOf(schema: TSchema, name: Name): string | undefined {
  const required: readonly string[] = configSchema.required
  if (!required.includes(name) || !('default' in schema)) return undefined
  return String(schema.default)
}

type Reading = { value: unknown } | { fault: string }

function readValue(schema: TSchema, text: string): Reading {
  const rules = schema as { [rule: string]: unknown }
  if (rules['off'] === true && text === 'off') return { value: null }
  if (rules['format'] === 'duration') {
    const fault = durationFault(text)
    if (fault !== null) return { fault }
    const value = parseDuration(text)
    const minimum = rules['minimum'] as number
    return value < minimum ? { fault: `must be at least ${minimum} ms` } : { value }
  }
  if (rules['type'] === 'integer') {
    const { minimum, maximum } = rules as { minimum: number; maximum: number }
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN
    return value >= minimum && value <= maximum
      ? { value }
      : { fault: `must be a whole number from ${minimum} to ${maximum}` }
  }
  if (rules['type'] === 'boolean') {
    return text === 'true' || text === 'false'
      ? { value: text === 'true' }
      : { fault: 'must be true or false' }
  }
  if (Array.isArray(rules['anyOf'])) {
    const allowed = rules['anyOf'].map((one: { const: string }) => one.const)
    const guess = nearest(text, allowed)
    return allowed.includes(text)
      ? { value: text }
      : {
          fault: `must be one of ${allowed.join(', ')}${guess === undefined ? '' : ` (did you mean ${guess}?)`}`,
        }
  }
  return { value: text }
}

/** The text of `.env.example`: every variable with what it is for and its default, all commented out. */
export function envExample(): string {
  const entries = names.map((name) => {
    const schema: TSchema & { description?: string; default?: unknown } =
      configSchema.properties[name]
    return `# ${schema.description ?? ''}\n#${name}=${String(schema.default ?? '')}\n`
  })
  return `# Settings of Taskflow. Copy to .env and remove the # of what you change; variables of the\n# environment win over the file. Durations are ISO 8601 (PT30S, P2D).\n\n${entries.join('\n')}`
}

/** Whether an address can only be reached from this machine. */
function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
}

/** The parts of a list that is separated by commas. */
export function listOf(text: string | undefined): string[] {
  return (text ?? '').split(',').flatMap((part) => part.trim() || [])
}

/** An address, or one with the length of a prefix. */
function isNetwork(text: string): boolean {
  const [address = '', bits, ...rest] = text.split('/')
  const family = isIP(address)
  if (family === 0 || rest.length > 0) return false
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128))
}

/** Whether a text is a web address that paths can be appended to. */
function isPlainUrl(text: string): boolean {
  if (!/^https?:\/\//.test(text) || !URL.canParse(text)) return false
  const { username, password, search, hash } = new URL(text)
  return `${username}${password}${search}${hash}` === ''
}

/** Mistakes of several variables together. */
function conflicts(config: Config): string[] {
  const found: string[] = []
  const adminKey = config.TASKFLOW_ADMIN_KEY
  if (!isLoopback(config.HOST) && adminKey === undefined) {
    found.push(
      `HOST=${config.HOST} would let others in without a key. Set TASKFLOW_ADMIN_KEY (openssl rand -hex 32), or HOST=127.0.0.1.`,
    )
  }
  // The value is a secret: it is not repeated.
  if (adminKey !== undefined && !/^[\x21-\x7e]{24,255}$/.test(adminKey)) {
    found.push(
      'TASKFLOW_ADMIN_KEY must be 24 to 255 printable characters without spaces: make one with openssl rand -hex 32.',
    )
  }
  if (!/^[a-z0-9]{1,16}$/.test(config.TASKFLOW_KEY_ENV)) {
    found.push(
      `TASKFLOW_KEY_ENV=${config.TASKFLOW_KEY_ENV} cannot be used: take up to 16 lower-case letters and digits, as in live.`,
    )
  }
  if (config.TASKFLOW_HEADERS_TIMEOUT >= config.TASKFLOW_REQUEST_TIMEOUT) {
    found.push(
      'TASKFLOW_HEADERS_TIMEOUT must be shorter than TASKFLOW_REQUEST_TIMEOUT: lower the first or raise the second.',
    )
  }
  if (config.TASKFLOW_FLOW_RETAIN_MIN > config.TASKFLOW_FLOW_RETAIN_MAX) {
    found.push(
      'TASKFLOW_FLOW_RETAIN_MIN must not be longer than TASKFLOW_FLOW_RETAIN_MAX: lower the first or raise the second.',
    )
  }
  const publicUrl = config.TASKFLOW_PUBLIC_URL
  if (publicUrl !== undefined && !isPlainUrl(publicUrl)) {
    found.push(
      `TASKFLOW_PUBLIC_URL=${publicUrl} cannot be used: it must be like https://flows.example.com, without user, query or fragment.`,
    )
  }
  for (const origin of listOf(config.TASKFLOW_CORS_ORIGINS)) {
    if (!URL.canParse(origin) || new URL(origin).origin !== origin) {
      found.push(
        `TASKFLOW_CORS_ORIGINS has ${origin}: an origin is like https://app.example.com, without a path and without *.`,
      )
    }
  }
  for (const address of listOf(config.TASKFLOW_TRUST_PROXY)) {
    if (!isNetwork(address)) {
      found.push(
        `TASKFLOW_TRUST_PROXY has ${address}: it takes addresses and networks, such as 10.0.0.7 or 10.0.0.0/8.`,
      )
    }
  }
  found.push(...settingFaults(config))
  for (const name of [
    'OTEL_EXPORTER_OTLP_ENDPOINT',
    'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT',
  ] as const) {
    const url = config[name]
    if (url !== undefined && !(/^https?:\/\//.test(url) && URL.canParse(url))) {
      found.push(`${name}=${url} cannot be used: it must be like http://127.0.0.1:4318.`)
    }
  }
  for (const name of ['DATABASE_URL', 'DATABASE_URL_DIRECT'] as const) {
    const url = config[name]
    // The value may hold a password: it is not repeated.
    if (url !== undefined && !/^postgres(ql)?:\/\//.test(url)) {
      found.push(
        `${name} must begin with postgres:// or postgresql://, as in postgres://user:password@host:5432/taskflow.`,
      )
    }
  }
  return found
}
