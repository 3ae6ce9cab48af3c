// The documentation, held against the service: what it tells to type works and answers as shown, and
// what it names exists.

import { existsSync } from 'node:fs'
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, normalize } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import openApi from '../../openapi/openapi.json' with { type: 'json' }
import { configSchema } from '../../src/config-schema.ts'
import { eventKinds } from '../../src/domain/event.ts'
import { transitions } from '../../src/domain/flow.ts'
import { problemKinds } from '../../src/http/problem-catalogue.ts'
import {
  anchorsOf,
  blocksOf,
  checkout,
  linksOf,
  listPages,
  looksLike,
  readPage,
  rehearse,
  rowsOf,
  typedBlocks,
} from '../support/docs.ts'
import { type OwnNatsServer, startNats } from '../support/nats.ts'
import { freePort, type ServiceProcess, startService } from '../support/service.ts'

const pages = await listPages()
const texts = new Map(
  await Promise.all(pages.map(async (page) => [page, await readPage(page)] as const)),
)
const textOf = (page: string) => texts.get(page) ?? ''
const all = [...texts.values()].join('\n')

/** Pages that kill the service that they speak to, and the number of outputs that each shows at least. */
const killing = { 'README.md': 15, 'docs/order-processing.md': 8 }

describe('the walk-throughs with kill -9', () => {
  it.each(Object.entries(killing))(
    '%s works to the letter',
    { timeout: 120_000 },
    async (page, shown) => {
      const dataDir = await openDataDir()
      const service = await startService({ TASKFLOW_DATA_DIR: dataDir })
      onTestFinished(async () => {
        await service.kill('SIGKILL')
        await rm(dataDir, { recursive: true, force: true, maxRetries: 20, retryDelay: 200 })
      })
      const typed = typedBlocks(textOf(page))
      const { faults } = await rehearse(page, typed, {
        port: service.port,
        pid: service.child.pid,
        env: { TASKFLOW_DATA_DIR: dataDir },
      })
      expect(faults.join('\n')).toBe('')
      expect(typed.filter(({ expected }) => expected !== null).length).toBeGreaterThanOrEqual(shown)
    },
  )
})

describe('the pages of docs/', () => {
  let dataDir: string
  let service: ServiceProcess | undefined
  let url: string
  let nats: OwnNatsServer | undefined
  // A server of their own: the feed of all flows waits for every older transaction of a server.
  beforeAll(async () => {
    dataDir = await openDataDir()
    const port = String(await freePort())
    nats = await startNats()
    service = await startService({
      TASKFLOW_DATA_DIR: dataDir,
      TASKFLOW_EMBEDDED_PORT: port,
      NATS_URL: nats.url,
      TASKFLOW_NATS_EVENTS: 'true',
      TASKFLOW_OUTBOUND_ALLOW_PRIVATE: 'true',
    })
    const password = await readFile(join(dataDir, 'postgres.password'), 'utf8')
    url = `postgres://taskflow:${password.trim()}@127.0.0.1:${port}/taskflow`
  })
  afterAll(async () => {
    await service?.kill('SIGTERM')
    await nats?.remove()
    await rm(dataDir, { recursive: true, force: true })
  })

  const typed = [...texts].filter(
    ([page, text]) => !(page in killing) && typedBlocks(text).length > 0,
  )
  it.each(typed)('%s does what it says', { timeout: 100_000 }, async (page, text) => {
    const port = service?.port ?? 0
    const { faults } = await rehearse(page, typedBlocks(text), {
      port,
      env: { DATABASE_URL: url, NATS_URL: nats?.url ?? '' },
    })
    expect(faults.join('\n')).toBe('')
  })

  it.each([
    'model',
    'waits',
    'links',
    'steps',
    'workers',
    'errors',
    'clients',
    'running',
    'nats',
    'hooks',
    'push',
    'metrics',
    'traces',
    'agents',
  ])('docs/%s.md begins with curl', (name) => {
    const [first] = blocksOf(textOf(`docs/${name}.md`))
    expect(first?.info).toBe('sh run')
    expect(first?.text).toContain('curl ')
  })
})

describe('what the documentation names', () => {
  it.each(pages)('%s has links that lead somewhere', (page) => {
    const broken = linksOf(textOf(page)).filter((link) => {
      const [path = '', anchor] = link.split('#')
      const target = path === '' ? page : normalize(join(dirname(page), path))
      if (!existsSync(join(checkout, target))) return true
      return anchor !== undefined && !anchorsOf(textOf(target)).includes(anchor)
    })
    expect(broken).toEqual([])
  })

  it('every page can be reached from the README', () => {
    const reached = new Set(['README.md'])
    for (const page of reached) {
      for (const link of linksOf(textOf(page))) {
        const target = normalize(join(dirname(page), link.split('#')[0] ?? ''))
        if (texts.has(target)) reached.add(target)
      }
    }
    expect(pages.filter((page) => !reached.has(page))).toEqual([])
  })

  it('every setting exists, with this default, and every one is in docs/running.md', () => {
    const names = Object.keys(configSchema.properties)
    // What is typed may be misspelt on purpose.
    const prose = all.replace(/^```(sh run|text)\n[\s\S]*?^```/gm, '')
    const named = [...prose.matchAll(/\bTASKFLOW_[A-Z][A-Z_]*\b/g)].map(([name]) => name)
    // What the command line, the reference workers, agents and the MCP proxy read, and the service does not.
    const clients = [
      'TASKFLOW_URL',
      'TASKFLOW_KEY',
      'TASKFLOW_KEY_FILE',
      'TASKFLOW_SESSION',
      'TASKFLOW_ADMIN_KEY',
      'TASKFLOW_SESSION',
    ]
    const known = [...names, ...clients]
    expect(named.filter((name) => !known.includes(name))).toEqual([])
    const documented = rowsOf(textOf('docs/running.md')).filter(([name = '']) =>
      /^[A-Z][A-Z_]+$/.test(name),
    )
    expect(documented.map(([name]) => name)).toEqual(names)
    const required: readonly string[] = configSchema.required
    const defaults = Object.entries(configSchema.properties).map(([name, schema]) =>
      required.includes(name) && 'default' in schema ? String(schema.default) : 'none',
    )
    expect(documented.map(([, value]) => value)).toEqual(defaults)
    for (const [page, text] of texts) {
      for (const [name = '', value = ''] of rowsOf(text)) {
        const at = names.indexOf(name)
        const fallback = defaults[at]
        if (fallback !== undefined && fallback !== 'none') {
          expect(`${page}: ${name}=${value}`).toBe(`${page}: ${name}=${fallback}`)
        }
      }
    }
  })

  it('every problem is in docs/errors.md, with its status and title, and no other', () => {
    const rows = rowsOf(textOf('docs/errors.md')).filter(([, status = '']) =>
      /^\d{3}$/.test(status),
    )
    const told = rows.map(([code, status, title]) => `${code} ${status} ${title}`)
    const known = Object.entries(problemKinds).map(
      ([code, { status, title }]) => `${code} ${status} ${title}`,
    )
    expect(told.toSorted()).toEqual(known.toSorted())
  })

  it('every kind of event is in docs/model.md, and no other', () => {
    const rows = rowsOf(textOf('docs/model.md').split('## Events')[1]?.split('\n## ')[0] ?? '')
    const told = rows.map(([kind]) => kind ?? '')
    expect(told.toSorted()).toEqual([...eventKinds].toSorted())
  })

  it('the status graph in docs/model.md is the one of the code', () => {
    const graph = blocksOf(textOf('docs/model.md')).find(({ info }) => info === 'mermaid')
    const told = [...(graph?.text ?? '').matchAll(/^ +(\w+) --> (\w+)/gm)].map(
      ([, from, to]) => `${from} ${to}`,
    )
    const known = Object.entries(transitions).flatMap(([from, next]) =>
      next.map((to) => `${from} ${to}`),
    )
    expect(told.toSorted()).toEqual(known.toSorted())
  })

  it('every request exists, and every one is told of', () => {
    const known = Object.entries(openApi.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${anyParameter(path)}`),
    )
    const hidden = ['/', '/docs', '/openapi.json', '/openapi-3.0.json', '/problems', '/problems/{}']
    const told = [...all.matchAll(/\b(GET|POST|PUT|PATCH|DELETE) (\/[\w/{}.-]*)/g)].map(
      ([, method, path = '']) => `${method} ${anyParameter(path)}`,
    )
    expect(
      told.filter((one) => !known.includes(one) && !hidden.some((path) => one === `GET ${path}`)),
    ).toEqual([])
    expect(known.filter((one) => !told.includes(one))).toEqual([])
  })

  it('every file that a page names in backticks is there', () => {
    const named = [
      ...all.matchAll(/`((?:src|test|docs|bench|scripts|examples|migrations|openapi)\/[\w./-]*)`/g),
    ]
    const missing = named
      .map(([, path = '']) => path)
      .filter((path) => !existsSync(join(checkout, path)))
    expect(missing).toEqual([])
  })
})

describe('the checks themselves', () => {
  it('see an output that is not as shown', () => {
    const shown = '{"id":"…","status":"running",…,\n  "revision":1}'
    const came = '{"id":"7","status":"running","wait":null,"revision":1}\n'
    expect(looksLike(shown, came)).toBe(true)
    expect(looksLike(shown, came.replace('running', 'waiting'))).toBe(false)
    expect(looksLike(shown, came.replace('1}', '12}'))).toBe(false)
    expect(looksLike('a b', 'ab')).toBe(false)
  })

  it('see a command that fails, and an output that stands alone', async () => {
    const page = '```sh run\ntrue\n```\n\n```sh run\nfalse\necho never\n```\n'
    const { faults } = await rehearse('page', typedBlocks(page), { port: 1 })
    expect(faults).toEqual([expect.stringContaining('page:6 failed (1)')])
    expect(() => typedBlocks('```text\nalone\n```\n')).toThrow('line 2')
  })

  it('see links and anchors', () => {
    expect(linksOf('[a](b.md#c) `[x](y)` <http://z> [w](https://w)')).toEqual(['b.md#c'])
    expect(anchorsOf('# What it does: `x`')).toEqual(['what-it-does-x'])
  })
})

/** A folder for an embedded server, which may run as another user, who must get in. */
async function openDataDir(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'taskflow-docs-data-'))
  await chmod(folder, 0o755)
  return folder
}

/** A path with its parameters unnamed: pages call them as they like. */
function anyParameter(path: string): string {
  return path.replace(/\{[^}]*\}/g, '{}').replace(/\.$/, '')
}
