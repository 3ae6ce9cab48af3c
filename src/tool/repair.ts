// Says how to mend a call: which argument, what was meant, and a call that would be right.

import { type ToolAction, toolActions } from '../domain/binding.ts'
import type { FlowError, InputFault } from '../domain/errors.ts'
import type { JsonObject, JsonValue } from '../domain/json.ts'
import { nearest } from '../domain/nearest.ts'
import { refused, type ToolAnswer, type ToolFault } from './answer.ts'

/** What models send in the hope to act for somebody else. */
const identities = [
  'owner_session_key',
  'requester_origin',
  'owner',
  'session',
  'session_id',
  'namespace',
  'actor',
]

/** A call that would be right, but for its values. */
const examples: { [Action in ToolAction]: JsonObject } = {
  start: { controller_id: 'kate/inbox', goal: 'triage inbox', state: { messages: 10 } },
  status: { flow_id: '…' },
  advance: { flow_id: '…', patch: { done: 5 }, current_step: 'reply' },
  wait: { flow_id: '…', wait_condition: { kind: 'timer', after: 'PT1H' } },
  finish: { flow_id: '…', final_state: { summary: '10 done' } },
  fail: { flow_id: '…', reason: 'the mailbox is gone' },
  cancel: { flow_id: '…' },
  list_mine: { status: 'waiting' },
  resume: { flow_id: '…', patch: { approved: true } },
  signal: { topic: 'payment.settled', correlation_id: 'order-42', payload: { amount: 4200 } },
  events: { flow_id: '…' },
}

/** The call for an action that is none, or not allowed. */
export function unknownAction(action: JsonValue | undefined, granted: readonly ToolAction[]) {
  const allowed = [...granted]
  if (action === undefined || action === null) {
    return refused('missing_argument', `action is required: ${allowed.join(', ')}.`, {
      argument: 'action',
      allowed,
    })
  }
  const known = (toolActions as readonly unknown[]).includes(action)
  if (known) {
    const may = allowed.length === 0 ? 'nothing here' : allowed.join(', ')
    return refused('forbidden', `You may not ${String(action)}. You may: ${may}.`, { allowed })
  }
  const meant = typeof action === 'string' ? nearest(action, allowed) : undefined
  const shown = typeof action === 'string' && action.length <= 64 ? `"${action}"` : 'this'
  return refused(
    'unknown_action',
    `There is no action ${shown}.${meant === undefined ? ` Send one of ${allowed.join(', ')}.` : ` Did you mean "${meant}"?`}`,
    { ...(meant !== undefined && { did_you_mean: meant }), allowed },
  )
}

/**
 * The answer to arguments that do not fit. All that is missing is named at once: a model that mends
 * one after the other pays for each.
 */
export function unfit(
  action: ToolAction | 'await',
  schema: object,
  args: JsonObject,
  error: FlowError,
): ToolAnswer {
  const right = action === 'await' ? { flow_id: '…' } : examples[action]
  const example = { action, ...fill(right, args) }
  const { required = [], properties = {} } = schema as { required?: string[]; properties?: object }
  const missing = required.filter((name) => !Object.hasOwn(args, name))
  const { errors } = error.detail as { errors?: InputFault[] }
  const fault = errors?.[0]
  const stranger = fault?.code === 'unknown_member' ? topOf(fault.pointer) : undefined
  if (stranger !== undefined && identities.includes(stranger)) {
    return refused(
      'unknown_argument',
      `${stranger} is no argument: whose flows these are is fixed by the session. Leave it out.`,
      { argument: stranger, example },
    )
  }
  if (missing.length > 0 && fault?.did_you_mean === undefined && stranger === undefined) {
    return refused(
      'missing_argument',
      `${missing.join(' and ')} ${missing.length === 1 ? 'is' : 'are'} required by ${action}.`,
      { argument: missing[0] ?? null, missing, example },
    )
  }
  if (fault === undefined) return refused('invalid_argument', error.message, { example })
  return refused(faultOf(fault), wordsOf(action, Object.keys(properties), fault), {
    argument: pathOf(fault.pointer),
    ...(fault.did_you_mean !== undefined && { did_you_mean: fault.did_you_mean }),
    ...(fault.allowed !== undefined && { allowed: fault.allowed }),
    example,
  })
}

/** What is wrong with an argument whose shape is right, as a time that cannot be. */
export function invalidValue(error: FlowError): ToolAnswer {
  const { errors } = error.detail as { errors?: InputFault[] }
  const fault = errors?.[0]
  return refused(fault === undefined ? 'invalid_argument' : faultOf(fault), error.message, {
    ...(fault !== undefined && {
      argument: pathOf(fault.pointer),
      ...(fault.did_you_mean !== undefined && { did_you_mean: fault.did_you_mean }),
      ...(fault.allowed !== undefined && { allowed: fault.allowed }),
    }),
  })
}

function faultOf({ code }: InputFault): ToolFault {
  if (code === 'required') return 'missing_argument'
  return code === 'unknown_member' ? 'unknown_argument' : 'invalid_argument'
}

function wordsOf(action: string, known: readonly string[], fault: InputFault): string {
  if (fault.code === 'unknown_member' && topOf(fault.pointer) !== undefined) {
    const hint =
      fault.did_you_mean === undefined
        ? `It takes ${known.join(', ')}.`
        : `Did you mean "${fault.did_you_mean}"?`
    const name = pathOf(fault.pointer)
    return `${name.length <= 64 ? `"${name}"` : 'One name'} is no argument of ${action}. ${hint}`
  }
  const stringified = fault.code === 'wrong_type' && fault.message.includes('an object, not a text')
  return stringified ? `${fault.message} Send JSON, not JSON inside a string.` : fault.message
}

/** The argument itself, when the pointer is not to something inside it. */
function topOf(pointer: string): string | undefined {
  const parts = pointer.split('/')
  return parts.length === 2 ? parts[1] : undefined
}

function pathOf(pointer: string): string {
  return pointer.slice(1).replaceAll('/', '.').replaceAll('~1', '/').replaceAll('~0', '~')
}

/** The example with the id that was sent, where one was. */
function fill(example: JsonObject, { flow_id }: JsonObject): JsonObject {
  const usable = typeof flow_id === 'string' && flow_id.length <= 64
  return usable && Object.hasOwn(example, 'flow_id') ? { ...example, flow_id } : example
}
