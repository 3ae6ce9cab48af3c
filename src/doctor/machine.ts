// Looks at the machine: the version of Node.js, the port, the disk.

import { statfs } from 'node:fs/promises'
import { createServer } from 'node:net'
import type { Config } from '../config-schema.ts'
import { type Check, type Finding, fault, warning } from './finding.ts'

/** What package.json asks for. */
const oldestNode = [20, 19] as const

export function checkNode(version: string): Check {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const [least, leastMinor] = oldestNode
  const new_enough = major > least || (major === least && minor >= leastMinor)
  const findings = new_enough
    ? []
    : [
        fault(
          'node_too_old',
          `this is Node.js ${version}`,
          `Taskflow needs ${oldestNode.join('.')} or newer.`,
          'install a newer one: https://nodejs.org, or nvm install 22',
        ),
      ]
  return { name: 'node', seen: `Node.js ${version}`, findings }
}

/** Whether the service could listen where it is told to, or does already. */
export async function checkPort(config: Config): Promise<Check> {
  const { HOST: host, PORT: port } = config
  const code = port === 0 ? null : await tryListen(host, port)
  if (code === null) return { name: 'port', seen: `${host}:${port} is free`, findings: [] }
  if (code === 'EADDRINUSE' && (await isOurs(host, port))) {
    return { name: 'port', seen: `Taskflow answers at ${host}:${port}`, findings: [] }
  }
  return { name: 'port', seen: null, findings: [portFault(code, host, port)] }
}

function portFault(code: string, host: string, port: number): Finding {
  if (code === 'EADDRINUSE') {
    return fault(
      'port_taken',
      `something that is not Taskflow listens on ${host}:${port}`,
      'The service cannot start.',
      `stop it (ss -ltnp 'sport = :${port}' names it), or set PORT to a free port`,
    )
  }
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND') {
    return fault(
      'host_unknown',
      `HOST=${host} is no address of this machine`,
      'The service cannot start.',
      'HOST=127.0.0.1 for this machine alone, HOST=0.0.0.0 for all of its addresses',
    )
  }
  return fault(
    'port_refused',
    `the system does not let this user listen on ${host}:${port} (${code})`,
    'Ports below 1024 are for privileged users.',
    'set PORT to 3000 or another above 1023, with a proxy in front',
  )
}

function tryListen(host: string, port: number): Promise<string | null> {
  return new Promise((resolve) => {
    const server = createServer()
    server.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(null)))
  })
}

async function isOurs(host: string, port: number): Promise<boolean> {
  const name = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host
  const url = `http://${name.includes(':') ? `[${name}]` : name}:${port}/health/live`
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(2_000), redirect: 'manual' })
    const body: unknown = await answer.json()
    const alive = typeof body === 'object' && body !== null && 'status' in body
    return alive && body.status === 'ok' && answer.headers.has('x-request-id')
  } catch {
    return false
  }
}

/** Whether there is room where the data is. */
export async function checkDisk(dir: string, leastFree: number): Promise<Check> {
  const { bavail, bsize } = await statfs(dir)
  const free = bavail * bsize
  const gigabytes = (bytes: number) => `${(bytes / 2 ** 30).toFixed(1)} GiB`
  const findings =
    free >= leastFree
      ? []
      : [
          warning(
            'disk_low',
            `${gigabytes(free)} are free where the data is, in ${dir}`,
            `Less than ${gigabytes(leastFree)}: PostgreSQL stops when nothing is left.`,
            'make room, or move the data: stop the service, cp -a, and set TASKFLOW_DATA_DIR',
          ),
        ]
  return { name: 'disk', seen: `${gigabytes(free)} free in ${dir}`, findings }
}
