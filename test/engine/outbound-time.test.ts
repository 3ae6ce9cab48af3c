// The sender and time: what is given up when, and that nothing is left of it.

import { describe, expect, test, vi } from 'vitest'
import { createOutbound } from '../../src/engine/outbound.ts'
import { rawReceiver, receiver } from '../support/receiver.ts'
import { at, responded, sender } from '../support/sender.ts'

describe('time', () => {
  test.each([
    ['no answer at all', ''],
    ['headers alone', 'HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n'],
    ['a body that stops', 'HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc'],
    ['headers that stop', 'HTTP/1.1 200 OK\r\ncontent-'],
  ])('%s: given up in time, and the connection closed', async (_, bytes) => {
    const server = await rawReceiver((socket) => {
      socket.once('data', () => socket.write(bytes))
    })
    const answer = await sender()(at(server), { timeout_ms: 150 })
    expect(answer).toMatchObject({
      failure: 'timeout',
      message: 'No whole answer within 150 ms.',
    })
    expect(answer.latency_ms).toBeGreaterThanOrEqual(149)
    expect(answer.latency_ms).toBeLessThan(5_000)
    await vi.waitFor(() => expect(server.sockets.size).toBe(0))
  })

  test('a body that drips in for ever does not put it off', async () => {
    const server = await receiver((_, response) => {
      const timer = setInterval(() => response.write('.'), 5)
      response.on('close', () => clearInterval(timer))
    })
    expect(await sender()(at(server), { timeout_ms: 200 })).toMatchObject({ failure: 'timeout' })
  })

  test('the time to connect is over once there is a connection', async () => {
    const server = await receiver((_, response) => {
      setTimeout(() => response.end('slow'), 300)
    })
    const answer = responded(await sender()(at(server), { connect_timeout_ms: 150 }))
    expect(answer.body.toString()).toBe('slow')
    expect(answer.latency_ms).toBeGreaterThanOrEqual(290)
  })

  test('a name that is never resolved costs no more than the time to connect', async () => {
    const resolveName = () => new Promise<never>(() => {})
    const send = sender({ resolveName })
    expect(await send('http://hook.example.test/', { connect_timeout_ms: 50 })).toMatchObject({
      failure: 'connect',
      message: 'No connection within 50 ms.',
    })
    expect(await send('http://hook.example.test/', { timeout_ms: 50 })).toMatchObject({
      failure: 'timeout',
    })
  })

  test('a receiver that speaks no TLS and hangs costs no more than the time to connect', async () => {
    const server = await rawReceiver(() => {})
    const answer = await sender()(`https://127.0.0.1:${server.port}/`, { connect_timeout_ms: 50 })
    expect(answer).toMatchObject({ failure: 'connect' })
  })

  test('a request that was given up before it had a connection is not sent when it gets one', async () => {
    let bytes = 0
    const server = await rawReceiver((socket) => {
      socket.on('data', (chunk) => {
        bytes += chunk.length
      })
    })
    let resolve: (addresses: string[]) => void = () => {}
    const resolveName = () =>
      new Promise<string[]>((given) => {
        resolve = given
      })
    const send = sender({ resolveName })
    const answer = await send(`http://hook.example.test:${server.port}/`, { timeout_ms: 50 })
    expect(answer).toMatchObject({ failure: 'timeout' })
    resolve(['127.0.0.1'])
    await vi.waitFor(() => {
      expect(server.accepted()).toBe(1)
      expect(server.sockets.size).toBe(0)
    })
    expect(bytes).toBe(0)
  })
})

describe('giving up', () => {
  test('by a signal, before and during', async () => {
    const abort = new AbortController()
    const server = await rawReceiver((socket) => {
      socket.once('data', () => abort.abort())
    })
    const send = sender()
    expect(await send(at(server), { signal: abort.signal })).toMatchObject({ failure: 'aborted' })
    await vi.waitFor(() => expect(server.sockets.size).toBe(0))
    expect(await send(at(server), { signal: abort.signal })).toMatchObject({ failure: 'aborted' })
    expect(server.accepted()).toBe(1)
  })

  test('a signal of many requests keeps nothing of those that are over', async () => {
    const { signal } = new AbortController()
    const added = vi.spyOn(signal, 'addEventListener')
    const removed = vi.spyOn(signal, 'removeEventListener')
    const server = await receiver((_, response) => response.end())
    responded(await sender()(at(server), { signal }))
    expect(removed.mock.calls.map(([, listener]) => listener)).toEqual(
      added.mock.calls.map(([, listener]) => listener),
    )
  })

  test('closing answers what is under way, closes what is idle, and sends no more', async () => {
    const outbound = createOutbound({ allowPrivate: true })
    const send = (url: string) =>
      outbound.send({ url, headers: {}, body: '{}', timeout_ms: 60_000 })
    const idle = await receiver((_, response) => response.end())
    responded(await send(at(idle)))
    expect(idle.sockets.size).toBe(1)
    let arrived: () => void = () => {}
    const busy = new Promise<void>((resolve) => {
      arrived = resolve
    })
    const hanging = await receiver(() => arrived())
    const answer = send(at(hanging))
    await busy
    await outbound.close()
    expect(await answer).toMatchObject({ failure: 'aborted' })
    await vi.waitFor(() => expect(hanging.sockets.size + idle.sockets.size).toBe(0))
    expect(await send(at(idle))).toMatchObject({ failure: 'aborted' })
    expect(idle.accepted()).toBe(1)
    await outbound.close()
  })
})
