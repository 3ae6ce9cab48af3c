// The connector by itself: it refuses addresses even when nobody looked at the URL before.

import type { Socket } from 'node:net'
import { expect, test } from 'vitest'
import { createConnector } from '../../src/engine/outbound-connect.ts'
import { rawReceiver } from '../support/receiver.ts'

const resolveName = async () => {
  throw new Error('an address was resolved')
}

function connectTo(hostname: string, port: number, allowPrivate: boolean): Promise<Socket> {
  const connect = createConnector({ allowPrivate, resolveName })
  return new Promise((resolve, reject) => {
    connect({ hostname, host: hostname, protocol: 'http:', port: String(port) }, (error, socket) =>
      error === null ? resolve(socket) : reject(error),
    )
  })
}

test.each(['127.0.0.1', '::1', '[::1]', '::ffff:127.0.0.1', '169.254.169.254', '0.0.0.0'])(
  '%s, which no resolver is asked about',
  async (hostname) => {
    const server = await rawReceiver(() => {})
    await expect(connectTo(hostname, server.port, false)).rejects.toMatchObject({
      code: 'url_not_allowed',
      detail: { url_host: hostname, reason: 'address' },
    })
    expect(server.accepted()).toBe(0)
  },
)

test('private addresses when they are allowed', async () => {
  const server = await rawReceiver(() => {})
  const socket = await connectTo('127.0.0.1', server.port, true)
  expect(socket.remoteAddress).toBe('127.0.0.1')
  socket.destroy()
})
