// Pushed steps on the wire: shown like claimed ones, and their outcomes judged like those of workers.

import { components } from '../contract/components.ts'
import { ref } from '../contract/kit.ts'
import { type Outcome, OutcomeSchema } from '../contract/outcome.ts'
import { FlowError, invalid } from '../domain/errors.ts'
import type { JsonLimits } from '../domain/json-text.ts'
import type { PushWire } from '../engine/push-request.ts'
import { parseJson } from './json.ts'
import { linkSpec } from './link-spec.ts'
import { outcomeSpec, placed } from './outcome-spec.ts'
import { presentClaimed } from './present-step.ts'
import { validatorCompiler } from './validation.ts'

export function createPushWire(limits: JsonLimits): PushWire {
  const judge = validatorCompiler(components)({ schema: ref(OutcomeSchema), httpPart: 'body' })

  /** Throws a `FlowError` with pointers into the outcome. */
  function read(body: Buffer) {
    const given: unknown = parseJson(body, limits)
    const judged = judge(given)
    if (judged !== true) throw judged.error
    const outcome = given as Outcome
    if (outcome.kind === 'wait' && linkSpec(outcome.wait, '/wait') !== undefined) {
      throw invalid(
        '/wait/link',
        'not_applicable',
        'Nobody would see this link: answer 202, and report the outcome by POST.',
      )
    }
    try {
      return outcomeSpec(outcome, '')
    } catch (error) {
      throw placed(error, outcome, '')
    }
  }

  return {
    write(step) {
      const { flow, ...shown } = presentClaimed(step)
      return JSON.stringify({ type: 'step', step: shown, flow })
    },
    read(body) {
      try {
        return read(body)
      } catch (error) {
        if (!(error instanceof FlowError)) throw error
        const [fault] = 'errors' in error.detail ? (error.detail.errors ?? []) : []
        const place = fault === undefined || fault.pointer === '' ? '' : `${fault.pointer}: `
        return { fault: `${place}${error.message}` }
      }
    },
  }
}
