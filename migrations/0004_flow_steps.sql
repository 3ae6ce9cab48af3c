-- Up Migration

-- Steps of a flow: `managed` ones are run for it, `mirrored` ones are observed elsewhere.
create table flow_steps (
  id uuid not null,
  flow_id uuid not null,
  attempt integer not null check (attempt >= 0),
  max_attempts integer not null check (max_attempts >= 1),
  priority integer not null,
  shard smallint not null,
  run_at timestamptz(3),
  lease_until timestamptz(3),
  observed_at timestamptz(3),
  created_at timestamptz(3) not null,
  updated_at timestamptz(3) not null,
  run_id text not null,
  runtime text not null check (runtime in ('managed', 'mirrored')),
  task text not null,
  status text not null
    check (status in ('pending', 'running', 'succeeded', 'failed', 'cancelled')),
  worker_id text,
  child_session_key text,
  input jsonb,
  result jsonb,
  error jsonb,
  primary key (id, shard),
  constraint flow_steps_run unique (flow_id, run_id, shard),
  foreign key (flow_id, shard) references flows (id, shard) on delete cascade
)
with (fillfactor = 85);

-- Down Migration

drop table flow_steps;
