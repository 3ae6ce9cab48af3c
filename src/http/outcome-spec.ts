// The report of a run as the wire carries it, in the engine's words.

import type { Outcome } from '../contract/outcome.ts'
import { waitSpec } from '../contract/wait-spec.ts'
import { FlowError, type InputFault } from '../domain/errors.ts'
import { parseDuration } from '../domain/formats.ts'
import type { OutcomeInput } from '../engine/outcome-input.ts'
import { linkSpec } from './link-spec.ts'
import { stepInput } from './step-spec.ts'

/** What an outcome asks for. `pointer` says where in the body it stands. */
export function outcomeSpec(outcome: Outcome, pointer: string): OutcomeInput {
  switch (outcome.kind) {
    case 'continue': {
      const { kind, result, state_patch, ...next } = outcome
      return { kind, next: stepInput(next, pointer), ...given({ result, state_patch }) }
    }
    case 'wait': {
      const { kind, wait, then: next, result, state_patch } = outcome
      const link = linkSpec(wait, `${pointer}/wait`)
      return {
        kind,
        wait: waitSpec(wait, `${pointer}/wait`),
        ...(link !== undefined && { link }),
        ...(next !== undefined && { next: stepInput(next, `${pointer}/then`) }),
        ...given({ result, state_patch }),
      }
    }
    case 'error': {
      const { retryable = true, retry_after, ...rest } = outcome
      return {
        ...rest,
        retryable,
        ...(retry_after !== undefined && {
          retry_after: parseDuration(retry_after, `${pointer}/retry_after`),
        }),
      }
    }
    default:
      return outcome
  }
}

type Given<Members> = { [Name in keyof Members]?: Exclude<Members[Name], undefined> }

/** The members that are there. */
function given<Members extends object>(members: Members): Given<Members> {
  return Object.fromEntries(
    Object.entries(members).filter(([, value]) => value !== undefined),
  ) as Given<Members>
}

/**
 * An error about an outcome, with its pointers into the body that the outcome stands in: whoever found
 * the fault knew the step or the wait alone.
 */
export function placed(error: unknown, { kind }: Outcome, pointer: string): unknown {
  if (!(error instanceof FlowError) || !('errors' in error.detail)) return error
  const base = kind === 'wait' ? `${pointer}/wait` : pointer
  const faults: InputFault[] = error.detail.errors ?? []
  const errors = faults.map((fault) =>
    fault.pointer.startsWith(pointer) ? fault : { ...fault, pointer: `${base}${fault.pointer}` },
  )
  return new FlowError(error.code, error.message, { ...error.detail, errors })
}
