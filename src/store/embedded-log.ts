// Keeps the log file of the embedded Postgres: opens it, reads its last words, and bounds its size.

import { constants } from 'node:fs'
import { copyFile, type FileHandle, open, readFile, stat, truncate } from 'node:fs/promises'

const MAX_BYTES = 8 * 1024 * 1024
const TRIM_MS = 60_000

/**
 * Opens the log for appending. `start` is its size now, in bytes: where the words of this server begin.
 *
 * Not through a link: root must not be made to write where the owner of the directory chooses.
 */
export async function openLog(path: string): Promise<FileHandle & { start: number }> {
  await trim(path)
  const { O_APPEND, O_CREAT, O_WRONLY, O_NOFOLLOW = 0 } = constants
  const handle = await open(path, O_APPEND | O_CREAT | O_WRONLY | O_NOFOLLOW, 0o600)
  return Object.assign(handle, { start: (await handle.stat()).size })
}

/** What the server wrote after `start`: all of it, and the messages that tell why it ended, in one line. */
export async function logSince(
  path: string,
  start: number,
): Promise<{ all: string; last: string }> {
  const bytes = await readFile(path).catch(() => Buffer.alloc(0))
  const all = bytes.subarray(start <= bytes.length ? start : 0).toString('utf8')
  const lines = all.split('\n').filter((line) => line !== '')
  const grave = lines.filter((line) =>
    /\b(FATAL|PANIC|HINT)\b|could not bind|was terminated/.test(line),
  )
  const last = (grave.length > 0 ? grave : lines).slice(-3)
  return { all, last: last.map((line) => line.replace(/^[-0-9: .]+ UTC \[\d+\] /, '')).join(' ') }
}

/** Keeps the log and the one older file beside it below some 8 MB each. The timer keeps no process alive. */
export function keepLogSmall(path: string): NodeJS.Timeout {
  return setInterval(() => trim(path), TRIM_MS).unref()
}

/** Emptied in place rather than renamed: the server appends to the file that it was given. */
async function trim(path: string): Promise<void> {
  try {
    if ((await stat(path)).size <= MAX_BYTES) return
    await copyFile(path, `${path}.1`)
    await truncate(path)
  } catch {
    // No log yet, or a full disk: nothing that may stop the service.
  }
}
