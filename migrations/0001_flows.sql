-- Up Migration

-- A flow: the durable record of work that waits. The database keeps the invariants below; which
-- status may follow which is decided in one place in the code.
--
-- `shard` selects nothing on one server. It ends every key so that the same rows can be spread over
-- many. Columns are ordered by alignment.
create table flows (
  id uuid not null,
  revision integer not null check (revision >= 0),
  -- An upper bound of the state's size, so that the limit is kept without reading the document.
  state_bytes integer not null check (state_bytes >= 0),
  shard smallint not null,
  cancel_requested boolean not null default false,
  created_at timestamptz(3) not null,
  updated_at timestamptz(3) not null,
  closed_at timestamptz(3),
  -- When the tick must look at this flow: greatest(due time, now) for timers and sticky cancels.
  wake_at timestamptz(3),
  namespace text not null,
  key text,
  status text not null
    check (status in ('created', 'running', 'waiting', 'finished', 'failed', 'cancelled')),
  mode text not null check (mode in ('managed', 'mirrored')),
  current_step text not null,
  controller_id text not null,
  owner_session_key text not null,
  requester_origin text not null,
  goal text not null,
  cancel_reason text,
  labels jsonb not null,
  wait jsonb,
  -- Not checked to be an object: a check would read the whole document on every status change.
  state jsonb not null,
  primary key (id, shard),
  constraint flows_wait_while_waiting check ((status = 'waiting') = (wait is not null)),
  constraint flows_closed_when_terminal
    check ((closed_at is not null) = (status in ('finished', 'failed', 'cancelled'))),
  constraint flows_closed_never_wakes check (closed_at is null or wake_at is null)
)
with (
  fillfactor = 85,
  autovacuum_vacuum_scale_factor = 0.02,
  autovacuum_analyze_scale_factor = 0.02
);

-- A business key is taken as long as its flow is open.
create unique index flows_open_key on flows (namespace, key, shard)
  where key is not null and closed_at is null;

-- Everything that time alone can change, and nothing else: the tick reads only this.
create index flows_due on flows (wake_at, id) where wake_at is not null;

create index flows_by_creation on flows (namespace, created_at, id);
create index flows_by_status on flows (namespace, status, created_at, id);
create index flows_by_owner on flows (namespace, owner_session_key, created_at, id);
create index flows_by_controller on flows (namespace, controller_id, created_at, id);
create index flows_by_key on flows (namespace, key, created_at, id) where key is not null;
create index flows_by_label on flows using gin (labels jsonb_path_ops) where labels <> '{}';

-- Down Migration

drop table flows;
