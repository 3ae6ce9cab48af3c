// What is wrong with settings that are each valid: together, or on a machine that others reach.

import { lookup } from 'node:dns/promises'
import { readFile, stat } from 'node:fs/promises'
import { isIP } from 'node:net'
import { ConfigError, loadConfig } from '../config.ts'
import type { Config } from '../config-schema.ts'
import { type Check, type Finding, fault, warning } from './finding.ts'

export type Environment = Readonly<Record<string, string | undefined>>

/** The settings when they can be used, and what is wrong with them. */
export async function checkSettings(
  env: Environment,
  envFile: string,
): Promise<{ config: Config | null; check: Check }> {
  const findings = [...adminKeyFindings(env), ...(await envFileFindings(envFile))]
  try {
    const config = loadConfig(env)
    findings.push(...limitFindings(config), ...exposureFindings(config))
    findings.push(...(await publicUrlFindings(config)))
    const seen = findings.length === 0 ? 'all settings fit' : null
    return { config, check: { name: 'settings', seen, findings } }
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    findings.push(...error.message.split('\n').map(configurationFault))
    return { config: null, check: { name: 'settings', seen: null, findings } }
  }
}

/** The sentence says itself how to mend it. */
function configurationFault(sentence: string): Finding {
  const name = /\b[A-Z][A-Z_]{2,}\b/.exec(sentence)?.[0] ?? ''
  return fault(
    'configuration',
    sentence.replace(/\.$/, ''),
    'The service does not start with it.',
    `correct ${name} in the environment or in .env; .env.example lists all settings`,
  )
}

function limitFindings(config: Config): Finding[] {
  const found: Finding[] = []
  if (config.TASKFLOW_SIGNAL_TTL > config.TASKFLOW_SIGNAL_TTL_MAX) {
    found.push(
      warning(
        'ttl_above_max',
        'TASKFLOW_SIGNAL_TTL is longer than TASKFLOW_SIGNAL_TTL_MAX',
        'Who sends a signal without a ttl gets more than anybody may ask for.',
        'raise TASKFLOW_SIGNAL_TTL_MAX, or lower TASKFLOW_SIGNAL_TTL',
      ),
    )
  }
  if (config.TASKFLOW_SHUTDOWN_DELAY >= config.TASKFLOW_SHUTDOWN_TIMEOUT) {
    found.push(
      fault(
        'shutdown_too_short',
        'TASKFLOW_SHUTDOWN_DELAY uses up TASKFLOW_SHUTDOWN_TIMEOUT',
        'The process is gone before it has answered what it took; every stop loses requests.',
        'lower the delay, or raise the timeout to the delay and ten seconds more',
      ),
    )
  }
  if (config.TASKFLOW_TICK_INTERVAL > 60_000) {
    found.push(
      warning(
        'tick_slow',
        `TASKFLOW_TICK_INTERVAL is ${config.TASKFLOW_TICK_INTERVAL / 1000} s`,
        'What another process, or a clock that was set, made due is noticed so late.',
        'TASKFLOW_TICK_INTERVAL=PT1S; an idle tick reads one index entry',
      ),
    )
  }
  return found
}

/** A service that others reach has an admin key, or it would not start. */
function exposureFindings(config: Config): Finding[] {
  if (isLoopback(config.HOST)) return []
  const found: Finding[] = []
  if (config.TASKFLOW_OUTBOUND_ALLOW_PRIVATE) {
    found.push(
      fault(
        'outbound_private',
        'TASKFLOW_OUTBOUND_ALLOW_PRIVATE is true on a service that others reach',
        'Whoever may make a hook makes the service call machines of your network, and cloud metadata.',
        'TASKFLOW_OUTBOUND_ALLOW_PRIVATE=false',
      ),
    )
  }
  if (config.TASKFLOW_ALLOW_UNSIGNED_SOURCES) {
    found.push(
      warning(
        'unsigned_sources',
        'TASKFLOW_ALLOW_UNSIGNED_SOURCES is true on a service that others reach',
        'Whoever learns the address of such a source can send what ends waits.',
        'TASKFLOW_ALLOW_UNSIGNED_SOURCES=false, and give sources a verification',
      ),
    )
  }
  if (config.TASKFLOW_PUBLIC_URL === undefined) {
    found.push(
      warning(
        'public_url_missing',
        'TASKFLOW_PUBLIC_URL is not set on a service that others reach',
        'Links that are given to people are paths without a host.',
        'TASKFLOW_PUBLIC_URL=https://flows.example.com, with your own host',
      ),
    )
  }
  return found
}

async function publicUrlFindings(config: Config): Promise<Finding[]> {
  const text = config.TASKFLOW_PUBLIC_URL
  if (text === undefined) return []
  const { hostname, protocol } = new URL(text)
  const host = hostname.replace(/^\[|\]$/g, '')
  if (isLoopback(host)) {
    if (isLoopback(config.HOST)) return []
    return [
      warning(
        'public_url_local',
        `TASKFLOW_PUBLIC_URL=${text} means another machine to everybody else`,
        'Links and addresses of webhooks that are given out lead nowhere.',
        'TASKFLOW_PUBLIC_URL=https://flows.example.com, with your own host',
      ),
    ]
  }
  const found: Finding[] = []
  if (protocol === 'http:') {
    found.push(
      warning(
        'public_url_plain',
        `TASKFLOW_PUBLIC_URL=${text} is not https`,
        'Links are secrets, and travel in the clear.',
        'put a proxy with TLS in front, and give its https:// address',
      ),
    )
  }
  const known = isIP(host) !== 0 || (await lookup(host).then(Boolean, () => false))
  if (!known) {
    found.push(
      fault(
        'public_url_unknown',
        `the host of TASKFLOW_PUBLIC_URL, ${host}, has no address`,
        'Links and addresses of webhooks that are given out lead nowhere.',
        'correct the host, or make its DNS record',
      ),
    )
  }
  return found
}

function adminKeyFindings(env: Environment): Finding[] {
  const key = env['TASKFLOW_ADMIN_KEY']?.trim() ?? ''
  if (key === '') return []
  const usual = /change.?me|password|secret|admin|example|letmein|taskflow|12345/i.test(key)
  const strong = key.length >= 32 && new Set(key).size >= 12 && !usual
  if (strong) return []
  return [
    fault(
      'admin_key_weak',
      'TASKFLOW_ADMIN_KEY can be guessed: it is short, monotonous or made of usual words',
      'Who has it may do everything.',
      'TASKFLOW_ADMIN_KEY=$(taskflow key create --admin)',
    ),
  ]
}

/** A .env that every user of the machine can read, with something in it that they should not. */
async function envFileFindings(file: string): Promise<Finding[]> {
  const found = await stat(file).catch(() => null)
  if (found === null || (found.mode & 0o044) === 0) return []
  const text = await readFile(file, 'utf8').catch(() => '')
  const secret = /^\s*(TASKFLOW_(ADMIN_)?KEY|(DATABASE_URL|NATS_URL)\w*=\S*:\S*@)/m.test(text)
  if (!secret) return []
  return [
    warning(
      'env_file_open',
      `${file} has secrets in it and can be read by other users of this machine`,
      'They get in as you.',
      `chmod 600 ${file}`,
    ),
  ]
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
}
