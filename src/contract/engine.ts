// The wire of the service itself: ticks, its status and its health.

import { Type } from 'typebox'
import {
  answerBody,
  count,
  growingTexts,
  nullable,
  nullableCount,
  nullableTimestamp,
  ref,
  tag,
  textMap,
  timestamp,
} from './kit.ts'

const exampleReport = { scanned: 2, resumed: 1, cancelled: 1, still_waiting: 0, errors: 0 }

export const TickReportSchema = answerBody(
  'TickReport',
  {
    scanned: count('Flows that were due.'),
    resumed: count('Flows whose timer fired.'),
    cancelled: count('Flows whose requested cancel was carried out.'),
    still_waiting: count('Flows looked at and left as they are.'),
    errors: count('Flows that could not be fired; they are tried again or set aside.'),
  },
  { description: 'What one tick did.', example: exampleReport },
)

const WaitEngineStatus = answerBody(
  'WaitEngineStatus',
  {
    running: Type.Boolean({ description: 'Whether timers fire by themselves.' }),
    last_tick_at: nullableTimestamp('When it last looked.'),
    last_report: nullable(TickReportSchema),
    next_due_in_ms: nullableCount('Milliseconds to the next timer known; null when there is none.'),
    fired_total: count('Flows fired since the start.'),
  },
  {
    description: 'How the clock of the service does.',
    example: {
      running: true,
      last_tick_at: '2026-04-23T15:00:00.000Z',
      last_report: exampleReport,
      next_due_in_ms: 4200,
      fired_total: 17,
    },
  },
)

const CommitterStatus = answerBody(
  'CommitterStatus',
  {
    queued: count('Changes accepted and not yet in a transaction.'),
    in_flight: count('Transactions under way.'),
    batches_total: count('Transactions since the start.'),
    commands_total: count('Changes since the start.'),
  },
  {
    description: 'How the writing of changes does.',
    example: { queued: 0, in_flight: 1, batches_total: 310, commands_total: 1204 },
  },
)

const StepsStatus = answerBody(
  'StepsStatus',
  {
    waiting_claims: count('Claims that wait for steps.'),
    rescued_total: count(
      'Steps that were taken from lost or slow workers since the start, to be run again.',
    ),
  },
  {
    description: 'How the giving of steps to workers does.',
    example: { waiting_claims: 4, rescued_total: 1 },
  },
)

export const EngineStatusSchema = answerBody(
  'EngineStatus',
  {
    version: Type.String({ description: 'The version of the service.' }),
    started_at: timestamp('When this process started.'),
    wait_engine: ref(WaitEngineStatus),
    committer: ref(CommitterStatus),
    listen: growingTexts(
      ['ok', 'degraded'],
      'Whether changes made by other processes are heard of at once, or found by looking, up to a second later.',
    ),
    streams: count('Event streams that are open.'),
    steps: ref(StepsStatus),
  },
  {
    description: 'How the process that answers does.',
    example: {
      version: '0.1.0',
      started_at: '2026-04-23T12:00:00.000Z',
      wait_engine: {
        running: true,
        last_tick_at: '2026-04-23T15:00:00.000Z',
        last_report: exampleReport,
        next_due_in_ms: 4200,
        fired_total: 17,
      },
      committer: { queued: 0, in_flight: 1, batches_total: 310, commands_total: 1204 },
      listen: 'ok',
      streams: 3,
      steps: { waiting_claims: 4, rescued_total: 1 },
    },
  },
)

export const LivenessSchema = answerBody(
  'Liveness',
  { status: tag('ok') },
  { description: 'The process answers.', example: { status: 'ok' } },
)

const Checks = Object.assign(textMap(), {
  $id: 'ReadinessChecks',
  description: 'Each thing that must be there, with `ok` or one sentence on what is wrong with it.',
  examples: [{ database: 'ok' }],
})

export const ReadinessSchema = answerBody(
  'Readiness',
  {
    ready: Type.Boolean({ description: 'Whether requests will be served.' }),
    checks: ref(Checks),
  },
  {
    description: 'Whether the service can do its work.',
    example: { ready: true, checks: { database: 'ok' } },
  },
)

export const engineComponents = [
  TickReportSchema,
  WaitEngineStatus,
  CommitterStatus,
  StepsStatus,
  EngineStatusSchema,
  LivenessSchema,
  Checks,
  ReadinessSchema,
]
