// How a flow is asked to end: at once for what rests, as soon as it reports for what runs.

import { refuseTerminal } from './admission.ts'
import type { Command, Decision } from './command.ts'
import type { Draft } from './draft.ts'
import { saveStep } from './step-enqueue.ts'
import { ended } from './step-life.ts'
import { after } from './time.ts'

/** Asks a flow to end: its pending steps are cancelled, the running ones are told. */
export function requestCancel(
  draft: Draft,
  command: Extract<Command, { type: 'request_cancel' }>,
): Decision {
  const { flow, at } = draft
  refuseTerminal(flow)
  if (flow.cancel_requested) return draft.unchanged('unchanged')
  const reason = command.reason ?? null
  const { grace, open = [] } = command
  const running = open.filter(({ status }) => status === 'running')
  const rest = open.length - running.length
  const effects = open.map((step) =>
    step.status === 'running'
      ? saveStep({ ...step, cancel_requested: true, updated_at: at })
      : saveStep(ended(step, 'cancelled', at)),
  )
  const by = grace === undefined ? null : after(at, grace)
  // Without steps, a running flow is its controller's to cancel; with none left running, the tick's.
  const now = flow.status !== 'running' || (open.length > 0 && running.length === 0)
  return draft.change(
    'cancel_requested',
    {
      ...(reason !== null && { reason }),
      ...(by !== null && { cancelled_by: by }),
      ...(rest > 0 && { steps_cancelled: rest }),
    },
    {
      cancel_requested: true,
      cancel_reason: reason,
      open_steps: flow.open_steps - rest,
      ...(now ? { wake_at: at } : by !== null ? { wake_at: by } : {}),
    },
    { effects },
  )
}
