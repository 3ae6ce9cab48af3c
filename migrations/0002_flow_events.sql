-- Up Migration

-- The audit log: one event per revision of a flow. Rows are inserted in the statement that changes
-- the flow, and nothing updates or deletes them. There is no foreign key to flows because that
-- statement cannot write an event without its flow, and the check would cost a look-up per event.
create table flow_events (
  flow_id uuid not null,
  revision integer not null check (revision >= 0),
  shard smallint not null,
  at timestamptz(3) not null,
  -- The writing transaction: below the oldest open one, (xid, flow_id, revision) is an order in
  -- which nothing can appear any more behind a reader. A sequence cannot give that.
  xid xid8 not null default pg_current_xact_id(),
  namespace text not null,
  kind text not null check (kind in (
    'created', 'started', 'waiting', 'wait_progressed', 'wait_moved', 'resumed', 'state_updated',
    'labels_updated', 'finished', 'failed', 'cancel_requested', 'cancelled', 'step_observed',
    'step_enqueued', 'step_settled', 'step_dead', 'quarantined', 'reopened')),
  actor text not null,
  payload jsonb not null,
  primary key (flow_id, revision, shard)
);

create index flow_events_feed on flow_events (namespace, xid, flow_id, revision);

-- Down Migration

drop table flow_events;
