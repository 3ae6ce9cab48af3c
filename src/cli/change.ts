// Requests that change something: the options that they share, and how they are sent.

import type { Command } from 'commander'
import { wholeNumber } from './input.ts'
import type { Answer, Method } from './request.ts'
import type { Session } from './session.ts'

export interface ChangeOptions {
  idempotencyKey?: string
  ifRevision?: number
}

/** Adds the options of a change. */
export function changing(command: Command): Command {
  return command.option(
    '--idempotency-key <key>',
    'the same key again gets the same answer and changes nothing',
  )
}

/** Adds the options of a change of a flow. */
export function changingFlow(command: Command): Command {
  return changing(command).option(
    '--if-revision <n>',
    'only if the flow still has this revision',
    wholeNumber,
  )
}

export function sendChange(
  session: Session,
  address: string,
  options: ChangeOptions,
  body?: string,
  method: Method = 'POST',
): Promise<Answer> {
  const { idempotencyKey, ifRevision } = options
  const headers = {
    ...(idempotencyKey !== undefined && { 'idempotency-key': idempotencyKey }),
    ...(ifRevision !== undefined && { 'if-match': `"${ifRevision}"` }),
  }
  return session.send({ method, path: address, headers, ...(body !== undefined && { body }) })
}
