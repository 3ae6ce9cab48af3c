// Where the sender never goes: addresses that are not public, by whichever name, and receivers that cannot prove theirs.

import { describe, expect, test } from 'vitest'
import type { Notice } from '../../src/engine/notice.ts'
import { rawReceiver, receiver, selfSigned, tlsReceiver } from '../support/receiver.ts'
import { responded, sender } from '../support/sender.ts'

describe('the guard', () => {
  /** A guarded sender to a name; tells what a server on the loopback address saw of it. */
  async function guarded(...answers: readonly string[][]) {
    const server = await rawReceiver(() => {})
    const notices: Notice[] = []
    let calls = 0
    const send = sender({
      allowPrivate: false,
      allowedPorts: [server.port],
      report: (notice) => notices.push(notice),
      resolveName: async () => answers[Math.min(calls++, answers.length - 1)] ?? [],
    })
    const url = `https://hook.example.test:${server.port}/`
    return { server, notices, url, send, calls: () => calls }
  }

  /** In a part of the address space that was never given to anybody: public by the rules, and reaches none. */
  const nowhere = '2d00::1'

  test.each([
    ['127.0.0.1'],
    ['10.0.0.1'],
    ['169.254.169.254'],
    ['100.100.100.200'],
    ['::1'],
    ['::ffff:127.0.0.1'],
    ['::ffff:7f00:1'],
    ['64:ff9b::7f00:1'],
    ['2002:7f00:1::1'],
    ['fd00:ec2::254'],
    ['fe80::1%lo'],
    ['0.0.0.0'],
    ['localhost'],
    [nowhere, '127.0.0.1'],
    ['127.0.0.1', nowhere],
    [nowhere, '2d00::2', '::ffff:10.0.0.1'],
  ])('a name that resolves to %s %s %s is not connected to', async (...addresses) => {
    const { server, send, url, notices } = await guarded(addresses)
    const answer = await send(url)
    expect(answer).toMatchObject({ failure: 'blocked' })
    expect(answer).not.toHaveProperty('message', expect.stringMatching(/\d/))
    expect(server.accepted()).toBe(0)
    expect(notices).toMatchObject([{ type: 'outbound_blocked', host: 'hook.example.test' }])
  })

  test('a name that is public first and private the next time is judged each time', async () => {
    const { server, send, url, calls } = await guarded([nowhere], ['127.0.0.1'])
    expect(await send(url, { connect_timeout_ms: 200 })).toMatchObject({ failure: 'connect' })
    expect(await send(url)).toMatchObject({ failure: 'blocked' })
    expect(calls()).toBe(2)
    expect(server.accepted()).toBe(0)
  })

  test('what was checked is what is connected to: the name is resolved once', async () => {
    const server = await receiver((request, response) => response.end(request.headers.host))
    const asked: string[] = []
    const resolveName = async (name: string) => {
      asked.push(name)
      return asked.length === 1 ? ['127.0.0.1'] : [nowhere]
    }
    const send = sender({ resolveName })
    const url = `http://hook.example.test:${server.port}/`
    expect(responded(await send(url)).body.toString()).toBe(`hook.example.test:${server.port}`)
    expect(responded(await send(url)).status).toBe(200)
    expect(asked).toEqual(['hook.example.test'])
  })

  test.each([
    'https://127.0.0.1:PORT/',
    'https://2130706433:PORT/',
    'https://[::ffff:127.0.0.1]:PORT/',
    'https://localhost:PORT/',
    'https://①②⑦.⓪.⓪.①:PORT/',
    'http://hook.example.test:PORT/',
    'https://user:pass@hook.example.test:PORT/',
    'https://hook.example.test:1/',
    'nonsense',
  ])('%s, saved under other rules, is not sent to', async (text) => {
    const { server, send, calls, notices } = await guarded(['127.0.0.1'])
    expect(await send(text.replace('PORT', String(server.port)))).toMatchObject({
      failure: 'blocked',
    })
    expect(calls()).toBe(0)
    expect(server.accepted()).toBe(0)
    expect(notices).toHaveLength(1)
    expect(JSON.stringify(notices)).not.toContain('pass@')
  })

  test('a name that does not resolve', async () => {
    const gone = async () => {
      throw Object.assign(new Error('queryA ENOTFOUND'), { code: 'ENODATA' })
    }
    const send = sender({ allowPrivate: false, resolveName: gone })
    expect(await send('https://hook.example.test/')).toMatchObject({
      failure: 'dns',
      message: 'The name of the host does not resolve (ENODATA).',
    })
    const { send: empty, url } = await guarded([])
    expect(await empty(url)).toMatchObject({ failure: 'dns' })
    expect(await sender()('http://nothing.invalid/')).toMatchObject({ failure: 'dns' })
  })
})

describe('TLS', () => {
  const certificate = selfSigned('hook.example.test')
  const resolveName = async () => ['127.0.0.1']

  test('a certificate of a trusted authority for this name', async () => {
    const server = await tlsReceiver(certificate, (_, response) => response.end('safe'))
    const send = sender({ resolveName, ca: certificate.cert })
    const answer = responded(await send(`https://hook.example.test:${server.port}/`))
    expect(answer.body.toString()).toBe('safe')
  })

  test('one for another name, and one of an unknown authority', async () => {
    let requests = 0
    const server = await tlsReceiver(certificate, (_, response) => {
      requests++
      response.end()
    })
    const trusting = sender({ resolveName, ca: certificate.cert })
    expect(await trusting(`https://other.example.test:${server.port}/`)).toMatchObject({
      failure: 'tls',
      message: 'No secure connection (ERR_TLS_CERT_ALTNAME_INVALID).',
    })
    expect(await trusting(`https://127.0.0.1:${server.port}/`)).toMatchObject({ failure: 'tls' })
    expect(
      await sender({ resolveName })(`https://hook.example.test:${server.port}/`),
    ).toMatchObject({
      failure: 'tls',
      message: 'No secure connection (DEPTH_ZERO_SELF_SIGNED_CERT).',
    })
    expect(requests).toBe(0)
  })

  test('a port that speaks plain HTTP', async () => {
    const server = await receiver((_, response) => response.end())
    expect(await sender()(`https://127.0.0.1:${server.port}/`)).toMatchObject({ failure: 'tls' })
  })
})
