-- Up Migration

-- Managed steps: run by workers who claim them, or pushed to an endpoint of their controller.
--
-- Steps that are not settled; a flow without any need not look at its steps when it ends.
alter table flows add column open_steps integer not null default 0 check (open_steps >= 0);

alter table flow_steps
  add column namespace text,
  add column controller_id text,
  -- Claimable now. Delayed steps, and those of a flow that was not started, stay out of that index.
  add column ready boolean not null default false,
  -- The order of claims: the time it became ready, later by one second for each point of priority, so
  -- that what has a low priority is overtaken for a while and not for ever.
  add column rank timestamptz(3),
  -- When time alone changes the step: its delay is over, its lease, or one of its time-outs.
  add column wake_at timestamptz(3),
  add column on_dead text not null default 'fail' check (on_dead in ('fail', 'park')),
  add column retry jsonb,
  add column timeouts jsonb,
  -- When it was first to be run: what schedule_to_close counts from.
  add column scheduled_at timestamptz(3),
  -- When the present attempt, or the last one, was claimed.
  add column started_at timestamptz(3),
  -- Claims so far; other than `attempt` it never goes back, and numbers the rows of step_attempts.
  add column claims integer not null default 0 check (claims >= 0),
  -- Leases in a row that ended without a word of their worker.
  add column interruptions integer not null default 0 check (interruptions >= 0),
  -- The fence: whoever reports must have the token of the newest claim. It stays while nobody else has
  -- claimed the step, so that a late report of a lease that ran out still counts.
  add column lease_token uuid,
  add column lease_ms integer,
  -- Claimed to be pushed to its controller's endpoint.
  add column pushed boolean not null default false,
  -- Its flow is to end, or has ended, while it runs.
  add column cancel_requested boolean not null default false,
  add column progress jsonb,
  add column checkpoint jsonb,
  -- What ended the wait that it follows; SQL null when it follows none, {} when nothing was sent.
  add column signal jsonb,
  -- The report that was accepted, to know its repeat.
  add column settled_token uuid,
  add column settled_hash text;

update flow_steps s set namespace = f.namespace, controller_id = f.controller_id
  from flows f where f.id = s.flow_id and f.shard = s.shard;

alter table flow_steps
  alter column namespace set not null,
  alter column controller_id set not null,
  add constraint flow_steps_ready_is_pending check (not ready or status = 'pending'),
  add constraint flow_steps_ready_has_rank check (not ready or rank is not null),
  add constraint flow_steps_leased_while_running
    check (runtime = 'mirrored' or status <> 'running'
      or (lease_token is not null and lease_until is not null)),
  add constraint flow_steps_ended_never_wakes
    check (wake_at is null or status in ('pending', 'running')),
  set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);

-- What a claim reads: one piece of it for each controller and task.
create index flow_steps_ready on flow_steps (namespace, controller_id, task, rank, id) where ready;
-- What the sweeper reads.
create index flow_steps_due on flow_steps (wake_at, id) where wake_at is not null;
-- The slots that a controller that is pushed to has taken.
create index flow_steps_pushed on flow_steps (namespace, controller_id)
  where pushed and status = 'running';
-- Lists: all by time, and the dead ones, which somebody must look at.
create index flow_steps_by_time on flow_steps (namespace, created_at, id);
create index flow_steps_dead on flow_steps (namespace, created_at, id) where status = 'failed';

-- Attempts that ended without settling their step; the one that settled it is told by the step.
create table step_attempts (
  step_id uuid not null,
  flow_id uuid not null,
  -- The claim that it began with.
  claim integer not null,
  attempt integer not null,
  shard smallint not null,
  started_at timestamptz(3) not null,
  ended_at timestamptz(3) not null,
  outcome text not null check (outcome in (
    'error', 'lease_expired', 'timed_out', 'released', 'discarded')),
  worker_id text,
  error jsonb,
  primary key (step_id, claim, shard),
  foreign key (flow_id, shard) references flows (id, shard) on delete cascade
);

create index step_attempts_by_flow on step_attempts (flow_id);

-- What is known of controllers: where their steps are pushed to, and how those are retried when they
-- do not say so themselves. A configuration table: small, and without a shard.
create table controllers (
  timeout_ms integer not null check (timeout_ms > 0),
  max_concurrency integer not null check (max_concurrency > 0),
  created_at timestamptz(3) not null,
  updated_at timestamptz(3) not null,
  disabled_at timestamptz(3),
  enabled boolean not null default true,
  namespace text not null,
  id text not null,
  -- Null: its steps are pulled.
  url text,
  -- The tasks that are pushed; null: all.
  tasks text[],
  on_dead text not null default 'fail' check (on_dead in ('fail', 'park')),
  disabled_reason text,
  retry jsonb,
  -- Stored as they were given, since requests are signed with them.
  secrets jsonb not null default '[]',
  primary key (namespace, id)
);

-- What steps recorded, to survive their attempts. Goes with its flow.
create table flow_memos (
  flow_id uuid not null,
  shard smallint not null,
  created_at timestamptz(3) not null,
  updated_at timestamptz(3) not null,
  key text not null,
  -- json, not jsonb: it is given back as it came.
  value json not null,
  primary key (flow_id, key, shard),
  foreign key (flow_id, shard) references flows (id, shard) on delete cascade
);

-- Down Migration

drop table flow_memos;
drop table controllers;
drop table step_attempts;
drop index flow_steps_dead;
drop index flow_steps_by_time;
drop index flow_steps_pushed;
drop index flow_steps_due;
drop index flow_steps_ready;
alter table flow_steps
  reset (autovacuum_vacuum_scale_factor, autovacuum_analyze_scale_factor),
  drop constraint flow_steps_ended_never_wakes,
  drop constraint flow_steps_leased_while_running,
  drop constraint flow_steps_ready_has_rank,
  drop constraint flow_steps_ready_is_pending;
delete from flow_steps where runtime = 'managed';
alter table flow_steps
  drop column namespace, drop column controller_id, drop column ready, drop column rank,
  drop column wake_at, drop column on_dead, drop column retry, drop column timeouts,
  drop column scheduled_at, drop column started_at, drop column claims, drop column interruptions,
  drop column lease_token, drop column lease_ms, drop column pushed, drop column cancel_requested,
  drop column progress, drop column checkpoint, drop column signal, drop column settled_token,
  drop column settled_hash;
alter table flows drop column open_steps;
