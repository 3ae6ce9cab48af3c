// What holds for every history of a flow and its managed steps; and that the check finds planted faults.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Decision } from '../../src/domain/command.ts'
import { decide } from '../../src/domain/decide.ts'
import { acts, type Decide, live } from '../support/step-history.ts'

test('every history keeps the laws, and its log folds to the row', () => {
  const seen = new Map<string, number>()
  const wanted = [
    ...['step_enqueued', 'step_settled', 'step_dead', 'waiting', 'resumed', 'reopened'],
    ...['finished', 'failed', 'cancelled', 'cancel_requested', 'state_updated'],
    ...['discarded', 'repeated', 'existing', 'lease_lost', 'step_conflict'],
    ...['claimed', 'rescued', 'retry_step', 'resolve_step', 'expire_step'],
  ]
  const rare = (what: string) => (seen.get(what) ?? 0) <= 3
  let rounds = 0
  do {
    fc.assert(
      fc.property(acts, (script) => live(decide, script, seen)),
      { numRuns: 400 },
    )
    // Chance may bring some of it about too seldom: then there is another round.
  } while (++rounds < 10 && wanted.some(rare))
  for (const what of wanted) expect(seen.get(what) ?? 0, what).toBeGreaterThan(3)
})

function mutant(kind: string, change: (made: Decision) => Decision): Decide {
  return (flow, command, actor, now, limits) => {
    const made = decide(flow, command, actor, now, limits)
    return made.events.some((event) => event.kind === kind) ? change(made) : made
  }
}

const without = (made: Decision, type: string): Decision => ({
  ...made,
  effects: made.effects.filter((effect) => effect.type !== type),
})

const mutants: Record<string, Decide> = {
  'a settled step that still counts as open': mutant('step_settled', (made) => ({
    ...made,
    flow: { ...made.flow, open_steps: made.flow.open_steps + 1 },
  })),
  'any token will do': (flow, command, actor, now, limits) =>
    decide(
      flow,
      command.type === 'settle' && command.known !== null
        ? { ...command, token: command.known.lease_token ?? command.token }
        : command,
      actor,
      now,
      limits,
    ),
  'a cancel that leaves its steps pending': mutant('cancelled', (made) =>
    without(made, 'close_steps'),
  ),
  'a failure that leaves its steps pending': mutant('failed', (made) =>
    without(made, 'close_steps'),
  ),
  'a step that is settled in the log alone': mutant('step_settled', (made) =>
    without(made, 'save_step'),
  ),
  'a patch that is not saved': mutant('step_settled', (made) => ({
    ...made,
    flow: { ...made.flow, state: {} },
  })),
  'retries after a requested cancel': (flow, command, actor, now, limits) =>
    decide(
      command.type === 'settle' && command.outcome.kind === 'error'
        ? { ...flow, cancel_requested: false }
        : flow,
      command,
      actor,
      now,
      limits,
    ),
  'a repeat that counts again': (flow, command, actor, now, limits) =>
    decide(
      flow,
      command.type === 'settle' && command.known !== null
        ? {
            ...command,
            known: {
              ...command.known,
              status: 'running',
              lease_token: command.token,
              settled_token: null,
            },
          }
        : command,
      actor,
      now,
      limits,
    ),
  'a dead step that is forgotten': mutant('step_dead', (made) => without(made, 'save_step')),
  'a flow that is reopened without its step': mutant('reopened', (made) =>
    without(made, 'save_step'),
  ),
}

describe('the check finds', () => {
  test.each(Object.entries(mutants))('%s', (_, wrong) => {
    const found = fc.check(
      fc.property(acts, (script) => live(wrong, script)),
      { numRuns: 10_000, endOnFailure: true },
    )
    expect(found.failed).toBe(true)
  })
})
