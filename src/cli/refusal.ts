// What the service refused, as an error of a command: its problem document in three lines.

import { CommandError, type Exit, exits } from './errors.ts'
import { commandOf, type Suggestion } from './next.ts'
import type { Answer } from './request.ts'
import { oneLine } from './terminal.ts'

interface Problem {
  type?: string
  title?: string
  detail?: string
  code?: string
  request_id?: string
  errors?: { pointer?: string; message?: string }[]
  next_actions?: Suggestion[]
  retry_after?: number
}

/** The error for an answer that is not a success. */
export function refusal(answer: Answer, base: string, command: string): CommandError {
  const problem = readProblem(answer.text)
  const exit = exitOf(answer.status)
  if (problem === null) {
    return new CommandError(exit, {
      what: `${base} answered ${answer.status} without a problem document`,
      why: 'Something that is not Taskflow answers there, or stands in between.',
      repair: `curl -i ${base}/health/live`,
    })
  }
  const { title = 'Refused', detail = title, code = '' } = problem
  return new CommandError(
    exit,
    {
      what: oneLine(`${detail} (${answer.status} ${code})`),
      why: oneLine(reason(problem)),
      repair: repairOf(problem, exit, base, command),
    },
    answer.text,
  )
}

function reason({ title = '', detail, errors = [], request_id }: Problem): string {
  const others = errors.filter(({ message }) => message !== undefined && message !== detail)
  const faults = (others.length > 0 ? others : errors)
    .map(({ pointer = '', message = '' }) =>
      others.length > 0 ? `${pointer}: ${message}` : pointer,
    )
    .filter((text) => text !== '')
    .join('; ')
  const where = faults === '' ? '' : ` (${faults})`
  return `${title}${where}. Request ${request_id ?? 'unknown'}.`
}

function repairOf(problem: Problem, exit: Exit, base: string, command: string): string {
  const [action] = problem.next_actions ?? []
  if (action !== undefined) return commandOf(action)
  if (exit === exits.unauthorised) {
    return problem.code === 'forbidden'
      ? 'use a key whose binding allows it; taskflow binding show self says what this one does'
      : 'give a key with --key or TASKFLOW_KEY; taskflow key create makes one'
  }
  if (problem.retry_after !== undefined) return `the same again in ${problem.retry_after} s`
  if (exit === exits.usage) return `${command} --help`
  if (exit === exits.notFound) return command.replace(/ \S+$/, ' list')
  return problem.type === undefined
    ? `${command} --help`
    : `curl ${new URL(problem.type, base).href}`
}

function readProblem(text: string): Problem | null {
  try {
    const parsed: unknown = JSON.parse(text)
    const document = typeof parsed === 'object' && parsed !== null && 'code' in parsed
    return document ? (parsed as Problem) : null
  } catch {
    return null
  }
}

function exitOf(status: number): Exit {
  switch (status) {
    case 400:
    case 413:
    case 414:
    case 415:
    case 431:
      return exits.usage
    case 401:
    case 403:
      return exits.unauthorised
    case 404:
    case 405:
    case 410:
      return exits.notFound
    case 409:
    case 412:
    case 422:
      return exits.conflict
    case 408:
    case 504:
      return exits.timedOut
    default:
      return exits.failed
  }
}
