// A small HTTP/1.1 client over one kept-alive socket: the load generator shares its cores with what it measures.

import { connect } from 'node:net'

/** @typedef {{ status: number, body: string }} Answer */

/**
 * @typedef {object} Connection
 * @property {(method: string, path: string, body: string) => Promise<Answer>} send One request at a time.
 * @property {() => void} close
 */

/**
 * Opens a connection.
 *
 * @param {number} port on 127.0.0.1
 * @param {string | null} [key] sent with every request
 * @returns {Promise<Connection>}
 */
export async function openConnection(port, key = null) {
  const credential = key === null ? '' : `authorization: Bearer ${key}\r\n`
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  /** @type {{ resolve: (answer: Answer) => void, reject: (error: Error) => void } | null} */
  let waiting = null
  let received = ''

  /** @type {Error | null} */
  let failed = null
  const fail = (/** @type {Error} */ error) => {
    failed ??= error
    waiting?.reject(error)
    waiting = null
  }
  socket.on('data', (bytes) => {
    // Bytes and characters are one to one in latin1, so that lengths can be compared.
    received = received + bytes.toString('latin1')
    const head = received.indexOf('\r\n\r\n')
    if (head < 0) return
    const length = lengthOf(received, head)
    if (received.length < head + 4 + length) return
    const answer = { status: Number(received.slice(9, 12)), body: received.slice(head + 4) }
    received = ''
    const { resolve } = waiting ?? {}
    waiting = null
    resolve?.(answer)
  })
  socket.on('error', fail)
  socket.on('close', () => fail(new Error('The service closed the connection.')))
  await new Promise((resolve, reject) => {
    socket.once('connect', () => resolve(null))
    socket.once('error', reject)
  })

  return {
    send(method, path, body) {
      if (failed !== null) return Promise.reject(failed)
      return new Promise((resolve, reject) => {
        waiting = { resolve, reject }
        socket.write(
          `${method} ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\n${credential}content-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
          'latin1',
        )
      })
    },
    close: () => {
      socket.removeAllListeners('close')
      socket.destroy()
    },
  }
}

/** @param {string} text @param {number} head where the headers end */
function lengthOf(text, head) {
  const at = text.indexOf('content-length: ')
  if (at >= 0 && at < head) return Number.parseInt(text.slice(at + 16, at + 28), 10)
  throw new Error('An answer has no content-length.')
}
