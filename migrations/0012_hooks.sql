-- Up Migration

-- Whether hooks were ever set on this one flow: only then does its batch look for them.
alter table flows add column hooked boolean not null default false;

-- Who wants to be told of audit events: everybody's of the namespace, or those of one flow. The row of
-- a flow's hook lives on the flow's shard. The secrets are stored as they are, since signatures are
-- computed with them: a list of {secret, created_at, expires_at}, of which several may be live.
create table hooks (
  id uuid not null,
  flow_id uuid,
  -- What its deliveries wait in: a hook of the namespace is a lane of its own, hooks of flows share
  -- one for each origin, or a dead receiver would have as many connections as there are flows.
  lane uuid not null,
  shard smallint not null,
  ordered boolean not null,
  enabled boolean not null default true,
  created_at timestamptz(3) not null,
  updated_at timestamptz(3) not null,
  disabled_at timestamptz(3),
  last_success_at timestamptz(3),
  -- Since when every attempt has failed; null after a success.
  first_failure_at timestamptz(3),
  namespace text not null,
  controller_id text,
  url text not null,
  payload text not null check (payload in ('thin', 'full')),
  description text,
  disabled_reason text,
  kinds text[],
  labels jsonb,
  secrets jsonb not null,
  primary key (id, shard),
  foreign key (flow_id, shard) references flows (id, shard) on delete cascade,
  constraint hooks_disabled check (enabled = (disabled_at is null))
);

-- What every batch asks for: whether there are any, and which of them want an event.
create index hooks_live on hooks (namespace, controller_id) where flow_id is null and enabled;
-- Lists. Those of flows may be very many, and are in nobody's way.
create index hooks_by_time on hooks (namespace, created_at, id) where flow_id is null;
create index hooks_of_flow on hooks (flow_id, created_at, id) where flow_id is not null;

-- What is to be sent, and what became of it: a row commits with the event that causes it. The body is
-- made then and never again, so that every attempt sends the same bytes. There is no foreign key to
-- hooks: the ledger outlives them, and a batch need not lock them.
create table deliveries (
  id uuid not null,
  hook_id uuid not null,
  -- Null for those that tell of no flow.
  flow_id uuid,
  lane uuid not null,
  lease_token uuid,
  revision integer,
  -- Attempts made, and those of them before it was last asked for again.
  attempt integer not null default 0 check (attempt >= 0),
  attempts_before integer not null default 0 check (attempts_before >= 0),
  shard smallint not null,
  depth smallint not null check (depth >= 0),
  -- Not before the one with the revision before it.
  ordered boolean not null,
  created_at timestamptz(3) not null,
  -- When it is to be sent; while it is under way, when it is given up for lost.
  next_attempt_at timestamptz(3),
  settled_at timestamptz(3),
  namespace text not null,
  type text not null,
  status text not null check (status in ('pending', 'delivered', 'failed')),
  -- json, not jsonb: it is sent as it stands.
  body json not null,
  primary key (id, shard),
  constraint deliveries_settled check ((status = 'pending') = (settled_at is null)),
  constraint deliveries_due_while_pending
    check ((status = 'pending') = (next_attempt_at is not null)),
  constraint deliveries_leased_while_pending check (lease_token is null or status = 'pending')
)
with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);

-- Nothing is told twice to one hook.
create unique index deliveries_once on deliveries (hook_id, flow_id, revision, shard);
-- Lanes are found by jumps from one to the next, and each is read from its earliest.
create index deliveries_due on deliveries (lane, next_attempt_at, id) where status = 'pending';
create index deliveries_in_order on deliveries (hook_id, flow_id, revision)
  where status = 'pending' and ordered;
-- Lists: ids sort in the order in which they were made.
create index deliveries_by_hook on deliveries (hook_id, id);
create index deliveries_by_end on deliveries (status, settled_at) where settled_at is not null;

create table delivery_attempts (
  delivery_id uuid not null,
  attempt integer not null check (attempt >= 1),
  status_code integer,
  latency_ms integer not null check (latency_ms >= 0),
  shard smallint not null,
  at timestamptz(3) not null,
  -- Why it failed; null when it did not.
  error text,
  -- The first 2 KB of the answer.
  response text,
  primary key (delivery_id, attempt, shard),
  foreign key (delivery_id, shard) references deliveries (id, shard) on delete cascade
);

-- Down Migration

drop table delivery_attempts;
drop table deliveries;
drop table hooks;
alter table flows drop column hooked;
