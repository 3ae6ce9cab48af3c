// The report of a run as it is sent, and what it asks for once everything that it may create has an id.

import { createHash } from 'node:crypto'
import { shardIndexOf } from '../domain/id.ts'
import { canonicalJson } from '../domain/json.ts'
import type { StepOutcome } from '../domain/outcome.ts'
import { mintId } from './ids.ts'
import type { LinkSpec, Links } from './links.ts'
import { mintStep, type StepInput } from './step-input.ts'

type Of<Kind extends StepOutcome['kind']> = Extract<StepOutcome, { kind: Kind }>

/** The report of a run, before anything is minted for it. */
export type OutcomeInput =
  | (Omit<Of<'continue'>, 'next'> & { next: StepInput })
  | (Omit<Of<'wait'>, 'next' | 'wait_id' | 'link'> & { next?: StepInput; link?: LinkSpec })
  | Exclude<StepOutcome, { kind: 'continue' | 'wait' }>

/**
 * What a report asks for, with ids for all that it may create.
 *
 * @param stepBytes the largest input of a step, in bytes of compact JSON.
 * @throws FlowError `limit_exceeded`, `invalid_request`.
 */
export function mintOutcome(
  flowId: string,
  outcome: OutcomeInput,
  links: Links,
  stepBytes: number,
): { outcome: StepOutcome; wait_id: string | null; link_token: string | null } {
  const shardIndex = shardIndexOf(flowId)
  const stepOf = (input: StepInput) => mintStep(input, shardIndex, stepBytes)
  if (outcome.kind === 'continue') {
    return {
      outcome: { ...outcome, next: stepOf(outcome.next) },
      wait_id: null,
      link_token: null,
    }
  }
  if (outcome.kind !== 'wait') return { outcome, wait_id: null, link_token: null }
  const { next, link, ...rest } = outcome
  const made = link === undefined ? null : links.mint(flowId, link)
  const wait_id = mintId(shardIndex)
  return {
    outcome: {
      ...rest,
      wait_id,
      ...(made !== null && { link: made.link }),
      ...(next !== undefined && { next: stepOf(next) }),
    },
    wait_id,
    link_token: made?.token ?? null,
  }
}

/** What a report is known by when it is repeated. */
export function hashOfOutcome(outcome: OutcomeInput): string {
  return createHash('sha256').update(canonicalJson(outcome)).digest('base64url')
}
