// The configuration: what is read, what is refused, and that .env.example tells of all of it.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { ConfigError, envExample, loadConfig } from '../src/config.ts'
import { configSchema } from '../src/config-schema.ts'

const mistake = (env: Record<string, string>): string => {
  try {
    loadConfig(env)
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError)
    return error instanceof Error ? error.message : ''
  }
  throw new Error('the configuration was accepted')
}

describe('the configuration', () => {
  it('has defaults for everything that must be there, and cannot be changed', () => {
    const config = loadConfig({})
    expect(config).toMatchObject({
      PORT: 3000,
      HOST: '127.0.0.1',
      MIGRATE_ON_START: true,
      LOG_LEVEL: 'info',
      TASKFLOW_HANDLER_TIMEOUT: 10_000,
    })
    expect(config).not.toHaveProperty('DATABASE_URL')
    expect(config).not.toHaveProperty('TASKFLOW_EMBEDDED_PORT')
    expect(Object.isFrozen(config)).toBe(true)
  })

  it('reads every kind of value', () => {
    const config = loadConfig({
      PORT: '0',
      MIGRATE_ON_START: 'false',
      LOG_LEVEL: 'warn',
      TASKFLOW_TICK_INTERVAL: 'PT0.5S',
      DATABASE_URL: 'postgres://u:p@db/taskflow',
    })
    expect(config).toMatchObject({
      PORT: 0,
      MIGRATE_ON_START: false,
      LOG_LEVEL: 'warn',
      TASKFLOW_TICK_INTERVAL: 500,
      DATABASE_URL: 'postgres://u:p@db/taskflow',
    })
  })

  it('takes an empty variable for an absent one', () => {
    expect(loadConfig({ PORT: '', DATABASE_URL: ' ' })).toMatchObject({ PORT: 3000 })
  })

  it.each([
    [{ PORT: '80a' }, 'PORT=80a cannot be used: it must be a whole number from 0 to 65535.'],
    [{ PORT: '65536' }, 'PORT=65536 cannot be used: it must be a whole number from 0 to 65535.'],
    [{ MIGRATE_ON_START: 'yes' }, 'MIGRATE_ON_START=yes cannot be used: it must be true or false.'],
    [{ LOG_LEVEL: 'wran' }, 'did you mean warn?'],
    [{ TASKFLOW_TICK_INTERVAL: '5s' }, 'ISO 8601'],
    [{ TASKFLOW_TICK_INTERVAL: 'PT0S' }, 'must be at least 10 ms'],
    [{ TASKFLOW_TICK_INTERVALL: 'PT5S' }, 'Did you mean TASKFLOW_TICK_INTERVAL?'],
    [{ TASKFLOW_ADMIN_KEY: 'secret' }, 'TASKFLOW_ADMIN_KEY must be 24 to 255 printable characters'],
    [{ TASKFLOW_KEY_ENV: 'Live_1' }, 'TASKFLOW_KEY_ENV=Live_1 cannot be used'],
    [{ TASKFLOW_ALLOW_OPEN: 'true' }, 'TASKFLOW_ALLOW_OPEN is not a setting'],
    [{ DATABASE_URL: 'mysql://root:secret@db/x' }, 'DATABASE_URL must begin with postgres://'],
    [{ HOST: '0.0.0.0' }, 'Set TASKFLOW_ADMIN_KEY (openssl rand -hex 32), or HOST=127.0.0.1'],
    [
      { TASKFLOW_HEADERS_TIMEOUT: 'PT30S' },
      'TASKFLOW_HEADERS_TIMEOUT must be shorter than TASKFLOW_REQUEST_TIMEOUT',
    ],
  ])('refuses %j and says how to mend it', (env, sentence) => {
    expect(mistake(env)).toContain(sentence)
  })

  it('tells all mistakes at once, and no secret', () => {
    const text = mistake({ PORT: 'x', DATABASE_URL: 'mysql://root:secret@db/x', LOG_LEVEL: 'loud' })
    expect(text.split('\n')).toHaveLength(2)
    expect(mistake({ DATABASE_URL: 'mysql://root:secret@db/x' })).not.toContain('secret')
  })

  it('opens to others only with a key', () => {
    const TASKFLOW_ADMIN_KEY = 'f'.repeat(64)
    expect(loadConfig({ HOST: '0.0.0.0', TASKFLOW_ADMIN_KEY }).HOST).toBe('0.0.0.0')
    expect(mistake({ HOST: '0.0.0.0', TASKFLOW_ADMIN_KEY: 'short-secret' })).not.toContain(
      'short-secret',
    )
    for (const HOST of ['localhost', '127.0.0.5', '::1'])
      expect(loadConfig({ HOST }).HOST).toBe(HOST)
  })
})

describe('.env.example', () => {
  const file = readFileSync(join(import.meta.dirname, '..', '.env.example'), 'utf8')

  it('is what the schema says (node scripts/env-example.mjs writes it)', () => {
    expect(file).toBe(envExample())
  })

  it('gives defaults that are the defaults', () => {
    const variables = Object.fromEntries(
      [...file.matchAll(/^#([A-Z_]+)=(.*)$/gm)].map(([, name, value]) => [name, value]),
    )
    expect(Object.keys(variables)).toEqual(Object.keys(configSchema.properties))
    const { TASKFLOW_EMBEDDED_PORT: example, ...rest } = variables
    expect(example).toBe('5433')
    expect(loadConfig(rest)).toEqual(loadConfig({}))
  })
})
