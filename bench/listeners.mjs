// Holds many event streams open in a thread of its own, and counts what arrives on them.

import { connect } from 'node:net'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'

/** @typedef {{ port: number, paths: string[] }} Order */

/**
 * Opens a stream for each path; resolves when all have begun.
 *
 * @param {Order} order
 */
export async function openListeners(order) {
  const worker = new Worker(new URL(import.meta.url), { workerData: order })
  /** @param {string} [question] @returns {Promise<number>} */
  const ask = (question) =>
    new Promise((resolve, reject) => {
      worker.once('message', resolve)
      worker.once('error', reject)
      if (question !== undefined) worker.postMessage(question)
    })
  const opened = await ask()
  if (opened !== order.paths.length) throw new Error(`${opened} streams were opened`)
  return {
    /** Events that arrived so far. */
    arrived: () => ask('arrived'),
    close: async () => {
      await ask('close')
      await worker.terminate()
    },
  }
}

if (!isMainThread && parentPort !== null) await listen(parentPort, workerData)

/**
 * @param {import('node:worker_threads').MessagePort} boss
 * @param {Order} order
 */
async function listen(boss, { port, paths }) {
  const mark = Buffer.from('\ndata: ')
  let arrived = 0
  /** @type {import('node:net').Socket[]} */
  const sockets = []
  for (const path of paths) {
    await new Promise((resolve, reject) => {
      const socket = connect({ port, host: '127.0.0.1' })
      sockets.push(socket)
      socket.write(`GET ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n`)
      socket.on('error', reject)
      socket.once('data', (head) => {
        if (head.toString('latin1', 9, 12) === '200') resolve(null)
        else reject(new Error(head.toString('latin1')))
      })
      socket.on('data', (bytes) => {
        for (let at = bytes.indexOf(mark); at >= 0; at = bytes.indexOf(mark, at + 1)) arrived++
      })
    })
  }
  boss.on('message', (question) => {
    if (question === 'close') for (const socket of sockets) socket.destroy()
    boss.postMessage(arrived)
  })
  boss.postMessage(sockets.length)
}
