// What an observation of a mirrored step does to its flow.

import type { Command, Decision } from './command.ts'
import type { Draft } from './draft.ts'
import { FlowError, invalid } from './errors.ts'
import { judgeObservation, observedStep } from './step.ts'
import { refuseReserved } from './step-enqueue.ts'

/** How far ahead of the database's clock an observation may be dated, in milliseconds. */
const clockTolerance = 5 * 60_000

/** Records an observation: the newest wins, a stale or repeated one changes nothing. */
export function observe(draft: Draft, command: Extract<Command, { type: 'observe' }>): Decision {
  const { flow, at } = draft
  const { known, observation } = command
  if (observation.observed_at !== undefined) {
    const ahead = Date.parse(observation.observed_at) - Date.parse(at)
    if (ahead > clockTolerance) {
      throw invalid(
        '/observed_at',
        'out_of_range',
        'observed_at is more than five minutes ahead: check the clock of the sender.',
      )
    }
  }
  if (known !== null) {
    if (known.runtime === 'managed') {
      throw new FlowError(
        'wait_conflict',
        'This run is a managed step: its worker reports it, not an observation.',
        { flow_id: flow.id },
      )
    }
    const judged = judgeObservation(known, observation, at)
    if (judged !== 'newer')
      return draft.unchanged(judged === 'stale' ? 'stale' : 'unchanged', known)
  }
  if (known === null) refuseReserved(flow, observation.run_id)
  const step = observedStep(flow, known, observation, command.step_id, at)
  return draft.change(
    'step_observed',
    {
      run_id: step.run_id,
      runtime: step.runtime,
      task: step.task,
      status: step.status,
      observed_at: step.observed_at,
    },
    {},
    { effects: [{ reach: 'local', type: 'save_step', step }], step },
  )
}
