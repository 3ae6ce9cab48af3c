// Pushed steps on the wire: written like claimed ones, and their outcomes judged like those of workers.

import { FlowError } from '../domain/errors.ts'
import type { JsonLimits } from '../domain/json-text.ts'
import { leaseToken } from '../domain/lease.ts'
import type { PushWire } from '../engine/push-request.ts'
import type { OutcomeInput } from '../engine/steps.ts'
import { parseJson } from './json.ts'
import { presentStep } from './present.ts'

export function createPushWire(limits: JsonLimits): PushWire {
  return {
    write(step) {
      const { flow, flow_id, controller_id, checkpoint, signal } = step
      const { goal, state, labels } = flow
      return JSON.stringify({
        type: 'step',
        step: {
          ...presentStep(step),
          lease_token: leaseToken({ flow_id, token: step.lease_token ?? '' }),
          ...(checkpoint !== null && { checkpoint }),
          ...(signal !== null && { signal: signal.payload ?? null }),
        },
        flow: { id: flow_id, controller_id, goal, state, labels },
      })
    },
    read(body) {
      try {
        return parseJson(body, limits) as unknown as OutcomeInput
      } catch (error) {
        if (error instanceof FlowError) return { fault: error.message }
        throw error
      }
    },
  }
}
