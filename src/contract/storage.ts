// The wire of what operators ask: the room that is taken, what will be deleted, and the queues of steps.

import { Type } from 'typebox'
import { closingKinds } from '../domain/event.ts'
import {
  answerBody,
  count,
  duration,
  growingTexts,
  id,
  nullableText,
  nullableTimestamp,
  ref,
  timestamp,
} from './kit.ts'

const TableSizeSchema = answerBody(
  'TableSize',
  {
    name: Type.String({ description: 'The table.' }),
    rows: count('Rows, as the server estimates them.'),
    dead_rows: count('Deleted and replaced rows that no vacuum has freed yet.'),
    table_bytes: count('Bytes of the table, with what is stored out of line.'),
    index_bytes: count('Bytes of its indexes.'),
    last_autovacuum_at: nullableTimestamp('When autovacuum last finished with it.'),
  },
  {
    description: 'What one table takes.',
    example: {
      name: 'flow_events',
      rows: 4_000_000,
      dead_rows: 1_200,
      table_bytes: 900_000_000,
      index_bytes: 500_000_000,
      last_autovacuum_at: '2026-04-23T14:40:00.000Z',
    },
  },
)

const FlowRetentionSchema = answerBody(
  'FlowRetention',
  {
    retention: nullableText({
      format: 'duration',
      examples: ['P90D'],
      description: 'How long flows are kept after their end that do not say; null: for ever.',
    }),
    retain_min: duration('The least that a flow may ask for.'),
    retain_max: duration('The most that a flow may ask for.'),
    due: count('Flows past their time.'),
    held: count('Flows on hold.'),
    capped: Type.Boolean({ description: 'Whether a count is as far as counting goes.' }),
    held_back: count(
      'Flows past their time that the last pass left: a hook or a publisher was not told all of them.',
    ),
    next_deletion_at: nullableTimestamp('When the time of the next flow is over.'),
    oldest_closed_at: nullableTimestamp('When that flow ended.'),
    deleted_total: count('Flows deleted so far, by all processes.'),
    last_deleted_at: nullableTimestamp('When flows were last deleted.'),
    last_pass_at: nullableTimestamp('When everything was last looked through.'),
    running: Type.Boolean({ description: 'Whether a process is at it.' }),
  },
  {
    description: 'How the deleting of old flows stands.',
    example: {
      retention: 'P90D',
      retain_min: 'P1D',
      retain_max: 'P3650D',
      due: 0,
      held: 2,
      capped: false,
      held_back: 0,
      next_deletion_at: '2026-04-24T03:12:00.000Z',
      oldest_closed_at: '2026-01-24T03:12:00.000Z',
      deleted_total: 18_204,
      last_deleted_at: '2026-04-23T14:59:00.000Z',
      last_pass_at: '2026-04-23T14:59:01.000Z',
      running: false,
    },
  },
)

export const StorageReportSchema = answerBody(
  'StorageReport',
  {
    database_bytes: count('Bytes of the whole database.'),
    tables: Type.Array(ref(TableSizeSchema), { description: 'The largest first.' }),
    retention: ref(FlowRetentionSchema),
  },
  {
    description: 'How much room the service takes, and what will be freed.',
    example: {
      database_bytes: 1_900_000_000,
      tables: [
        {
          name: 'flow_events',
          rows: 4_000_000,
          dead_rows: 1_200,
          table_bytes: 900_000_000,
          index_bytes: 500_000_000,
          last_autovacuum_at: null,
        },
      ],
      retention: {
        retention: 'P90D',
        retain_min: 'P1D',
        retain_max: 'P3650D',
        due: 0,
        held: 2,
        capped: false,
        held_back: 0,
        next_deletion_at: null,
        oldest_closed_at: null,
        deleted_total: 0,
        last_deleted_at: null,
        last_pass_at: null,
        running: false,
      },
    },
  },
)

const DeletionSchema = answerBody(
  'Deletion',
  {
    flow_id: id('The flow.'),
    controller_id: Type.String({ description: 'Its controller.' }),
    status: growingTexts(closingKinds, 'How it ended.'),
    closed_at: timestamp('When it ended.'),
    retain: nullableText({
      format: 'duration',
      examples: ['P365D'],
      description: 'Its own time; null: it has none.',
    }),
    delete_after: timestamp('When its time is over.'),
  },
  {
    description: 'A flow that will be deleted.',
    example: {
      flow_id: '019dbaf2-5e10-7b1e-8c44-2f6a1b9d3c15',
      controller_id: 'kate/inbox',
      status: 'finished',
      closed_at: '2026-01-24T03:12:00.000Z',
      retain: null,
      delete_after: '2026-04-24T03:12:00.000Z',
    },
  },
)

export const DeletionPreviewSchema = answerBody(
  'DeletionPreview',
  {
    retention: nullableText({
      format: 'duration',
      examples: ['P90D'],
      description: 'The retention that was asked about, or the present one; null: for ever.',
    }),
    due: count('Flows past their time under it, of all namespaces.'),
    capped: Type.Boolean({ description: 'Whether there are more than were counted.' }),
    next: Type.Array(ref(DeletionSchema), {
      description: 'The next flows to go, the first one first: those of the caller’s namespace.',
    }),
  },
  {
    description: 'What would be deleted. Nothing is.',
    example: {
      retention: 'P90D',
      due: 0,
      capped: false,
      next: [
        {
          flow_id: '019dbaf2-5e10-7b1e-8c44-2f6a1b9d3c15',
          controller_id: 'kate/inbox',
          status: 'finished',
          closed_at: '2026-01-24T03:12:00.000Z',
          retain: null,
          delete_after: '2026-04-24T03:12:00.000Z',
        },
      ],
    },
  },
)

const exampleCounts = {
  controller_id: 'kate/inbox',
  task: 'classify',
  ready: 12,
  ready_since: '2026-04-23T14:59:58.000Z',
  delayed: 3,
  running: 4,
  running_since: '2026-04-23T14:59:50.000Z',
  dead: 1,
}

const QueueCountsSchema = answerBody(
  'QueueCounts',
  {
    controller_id: Type.String({ description: 'The controller.' }),
    task: Type.String({ description: 'The task.' }),
    ready: count('Steps that can be claimed now.'),
    ready_since: nullableTimestamp('Since when the one can be run that is next.'),
    delayed: count('Steps that rest before they can be run.'),
    running: count('Steps that are being run.'),
    running_since: nullableTimestamp('When the one was claimed that has run the longest.'),
    dead: count('Steps that failed for good: `GET /steps?status=failed` lists them.'),
  },
  {
    description: 'Steps of one task of one controller.',
    example: exampleCounts,
  },
)

export const QueuesSchema = answerBody(
  'Queues',
  {
    queues: Type.Array(ref(QueueCountsSchema), {
      description: 'By controller and task, 200 at most.',
    }),
    capped: Type.Boolean({
      description: 'Whether there are more, or a count is as far as counting goes.',
    }),
  },
  {
    description: 'Steps by controller and task.',
    example: {
      queues: [exampleCounts],
      capped: false,
    },
  },
)

export const storageComponents = [
  TableSizeSchema,
  FlowRetentionSchema,
  StorageReportSchema,
  DeletionSchema,
  DeletionPreviewSchema,
  QueueCountsSchema,
  QueuesSchema,
]
