// Receivers of what the service sends: HTTP servers and bare sockets on the loopback address.

import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer as createHttpServer, type RequestListener } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import { createServer as createTcpServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'

export interface Receiver {
  port: number
  /** The sockets that are open now. */
  sockets: ReadonlySet<Socket>
  /** How many there have been. */
  accepted(): number
}

/** An HTTP server until the test ends. */
export function receiver(listener: RequestListener): Promise<Receiver> {
  return listen(createHttpServer(listener))
}

/** A server that does with each socket what it is told to, until the test ends. */
export function rawReceiver(onSocket: (socket: Socket) => void): Promise<Receiver> {
  return listen(createTcpServer(onSocket))
}

/** An HTTPS server until the test ends. */
export function tlsReceiver(
  { key, cert }: Certificate,
  listener: RequestListener,
): Promise<Receiver> {
  return listen(createHttpsServer({ key, cert }, listener))
}

async function listen(server: Server): Promise<Receiver> {
  const sockets = new Set<Socket>()
  let accepted = 0
  server.on('connection', (socket: Socket) => {
    accepted++
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    // Senders that give up reset their connections.
    socket.on('error', () => {})
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise((resolve) => server.close(resolve))
  })
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return { port: address.port, sockets, accepted: () => accepted }
}

export interface Certificate {
  key: string
  cert: string
}

/** A certificate that signs itself, made by `openssl`. */
export function selfSigned(name: string): Certificate {
  const folder = mkdtempSync(join(tmpdir(), 'receiver-'))
  try {
    const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')]
    const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1']
    const subject = ['-subj', `/CN=${name}`, '-addext', `subjectAltName=DNS:${name}`]
    execFileSync(
      'openssl',
      ['req', '-x509', ...curve, '-nodes', '-days', '2', ...subject, '-keyout', key, '-out', cert],
      { stdio: 'pipe' },
    )
    return { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') }
  } finally {
    rmSync(folder, { recursive: true })
  }
}
