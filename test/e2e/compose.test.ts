// compose.yaml, without an engine to run it: it parses, asks for every secret, pins every image, and sets what the service knows.

import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { loadConfig } from '../../src/config.ts'
import { configSchema } from '../../src/config-schema.ts'

const root = join(import.meta.dirname, '../..')
const text = await readFile(join(root, 'compose.yaml'), 'utf8')
const example = await readFile(join(root, '.env.compose.example'), 'utf8')
const manifest: { version: string } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'))

interface Service {
  image: string
  environment?: Record<string, string>
  ports?: string[]
  volumes?: string[]
  healthcheck?: { test: string[] }
  depends_on?: Record<string, { condition: string }>
}
const { services, volumes } = parse(text, { merge: true }) as {
  services: Record<string, Service>
  volumes: Record<string, null>
}
const replicas = Object.entries(services).filter(([name]) => name.startsWith('taskflow-'))
const secrets = ['POSTGRES_PASSWORD', 'NATS_PASSWORD', 'TASKFLOW_ADMIN_KEY']
const given: Record<string, string> = Object.fromEntries(
  secrets.map((name) => [name, `secret-of-${name.toLowerCase()}-0123456789abcdef`]),
)

/** Fills in variables as compose does. */
function fill(value: string, env: Record<string, string>): string {
  return value.replace(/\$\{(\w+)(?:(:\?|:-)([^}]*))?\}/g, (_, name, how, rest) => {
    const found = env[name]
    if (found !== undefined && found !== '') return found
    if (how === ':-') return rest
    throw new Error(`${name}: ${rest}`)
  })
}

describe('compose.yaml', () => {
  it('has PostgreSQL, NATS and two replicas, each image pinned to a release', () => {
    expect(Object.keys(services)).toEqual(['postgres', 'nats', 'taskflow-1', 'taskflow-2'])
    for (const [name, { image }] of Object.entries(services)) {
      expect([name, image]).toEqual([name, expect.stringMatching(/:\d+\.\d+(\.\d+)?(-\w+)?$/)])
    }
    for (const [, { image }] of replicas) expect(image).toBe(`taskflow:${manifest.version}`)
  })

  it('has no secret in it, and names each one that is missing', () => {
    const uses = [...text.matchAll(/\$\{(\w*(?:PASSWORD|KEY)\w*)([^}]*)\}/g)]
    expect([...new Set(uses.map(([, name]) => name))].sort()).toEqual([...secrets].sort())
    for (const [, name, rest] of uses)
      expect([name, rest]).toEqual([name, expect.stringMatching(/^:\?set it/)])
    for (const name of secrets) {
      expect(() => fill(text, { ...given, [name]: '' })).toThrow(`${name}: set it`)
      expect(example).toMatch(new RegExp(`^${name}=$`, 'm'))
    }
  })

  it('sets variables of the service alone, with values that it starts with', () => {
    for (const [, { environment = {} }] of replicas) {
      const env = Object.fromEntries(
        Object.entries(environment).map(([name, value]) => [name, fill(value, given)]),
      )
      const known = Object.keys(configSchema.properties)
      if (!known.includes('TASKFLOW_ADMIN_KEY')) {
        // Until the service has keys, an address that others reach needs this instead.
        delete env['TASKFLOW_ADMIN_KEY']
        env['TASKFLOW_ALLOW_OPEN'] = 'true'
      }
      const config = loadConfig(env)
      expect(config).toMatchObject({ HOST: '0.0.0.0', PORT: 3000, TASKFLOW_NATS_EVENTS: true })
      expect(config.DATABASE_URL).toContain(`@postgres:5432/`)
      expect(config.NATS_URL).toContain('@nats:4222')
    }
  })

  it('publishes ports on the loopback address alone, one for each replica', () => {
    const published = Object.values(services).flatMap(({ ports = [] }) => ports)
    expect(published.map((port) => fill(port, given))).toEqual([
      '127.0.0.1:3001:3000',
      '127.0.0.1:3002:3000',
    ])
  })

  it('waits for healthy servers, and keeps what they have in volumes', () => {
    for (const [, { depends_on = {} }] of replicas) {
      expect(depends_on).toEqual({
        postgres: { condition: 'service_healthy' },
        nats: { condition: 'service_healthy' },
      })
    }
    for (const name of ['postgres', 'nats']) {
      expect(services[name]?.healthcheck?.test[0]).toBe('CMD')
      expect(services[name]?.volumes?.[0]?.split(':')[0]).toBe(name)
      expect(Object.keys(volumes)).toContain(name)
    }
  })

  it('is understood by docker-compose, where there is one', async () => {
    const env = { PATH: process.env['PATH'] ?? '', ...given }
    const read = promisify(execFile)('docker-compose', ['-f', 'compose.yaml', 'config'], {
      cwd: root,
      env,
    })
    const answer = await read.catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return null
      throw error
    })
    // Without the program the checks above have to do.
    const config = answer === null ? null : (parse(answer.stdout) as { services: object })
    expect(Object.keys(config?.services ?? services)).toHaveLength(4)
  })
})
