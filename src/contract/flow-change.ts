// The wire of changes of a flow: what its requests carry.

import { Type } from 'typebox'
import { LabelsPatch, retainText } from './flow.ts'
import {
  duration,
  id,
  JsonObjectSchema,
  maxLengths,
  name,
  nullableText,
  ref,
  requestBody,
  text,
} from './kit.ts'

export const ResumeFlowSchema = requestBody(
  'ResumeFlow',
  {
    state_patch: Type.Optional(ref(JsonObjectSchema)),
    wait_id: Type.Optional(
      id('The wait to end. Refused with `stale_wait` when the flow does not wait on it any more.'),
    ),
  },
  {
    description: 'How to resume: members of `state_patch` replace those of the state.',
    example: { state_patch: { processed: 5 } },
  },
)

export const UpdateFlowStateSchema = requestBody(
  'UpdateFlowState',
  {
    patch: Type.Optional(ref(JsonObjectSchema)),
    unset: Type.Optional(
      Type.Array(Type.String({ maxLength: maxLengths.text }), {
        description: 'Top-level members of the state to remove, after the patch.',
      }),
    ),
    next_step: Type.Optional(name('The new `current_step`.')),
  },
  {
    description: 'A shallow merge: members of `patch` replace those of the state, the rest stays.',
    example: { patch: { processed: 5 }, unset: ['draft'], next_step: 'reply' },
  },
)

export const UpdateFlowSchema = requestBody(
  'UpdateFlow',
  {
    labels: Type.Optional(ref(LabelsPatch)),
    retain: Type.Optional(
      nullableText({
        format: 'duration',
        examples: ['P365D'],
        description: `${retainText}; null: as long as the service is set to.`,
      }),
    ),
  },
  {
    description: 'Labels to set and to remove, and how long the flow is kept.',
    example: { labels: { tier: 'gold', region: null } },
  },
)

export const HoldFlowSchema = requestBody(
  'HoldFlow',
  { reason: Type.Optional(text('Why, for whoever wants to lift it.')) },
  { description: 'Why the flow must not be deleted.', example: { reason: 'case 4711' } },
)

export const FinishFlowSchema = requestBody(
  'FinishFlow',
  { final_state: Type.Optional(ref(JsonObjectSchema)) },
  {
    description: 'How it ended: members of `final_state` replace those of the state.',
    example: { final_state: { summary: '10 done' } },
  },
)

export const FailFlowSchema = requestBody(
  'FailFlow',
  { reason: text('Why it failed. Kept in `state.failure`.') },
  { description: 'Why the flow failed.', example: { reason: 'downstream answered 503' } },
)

export const CancelFlowSchema = requestBody(
  'CancelFlow',
  { reason: Type.Optional(text('Why, for the audit log.')) },
  { description: 'Why the flow is cancelled.', example: { reason: 'the order was withdrawn' } },
)

export const RequestFlowCancelSchema = requestBody(
  'RequestFlowCancel',
  {
    reason: Type.Optional(text('Why, for the audit log.')),
    grace: Type.Optional(
      duration(
        'How long running steps, or the controller, are given. Then the flow is cancelled whatever they do; without limit when absent.',
      ),
    ),
  },
  {
    description: 'Why the flow is to end, and by when.',
    example: { reason: 'the order was withdrawn', grace: 'PT5M' },
  },
)

/** For requests that say everything by their path. */
export const EmptySchema = requestBody('Empty', {}, { description: 'Nothing.', example: {} })

export const flowChangeComponents = [
  ResumeFlowSchema,
  UpdateFlowStateSchema,
  UpdateFlowSchema,
  HoldFlowSchema,
  FinishFlowSchema,
  FailFlowSchema,
  CancelFlowSchema,
  RequestFlowCancelSchema,
  EmptySchema,
]
