-- Up Migration

-- How long a flow stays after it has ended, and whether it may be deleted at all.
alter table flows
  -- Its own time, in milliseconds; null: what the service is set to.
  add column retain_ms bigint,
  -- Why it is never deleted, since when and by whom; null: it may be.
  add column hold jsonb,
  add constraint flows_retain_is_a_time check (retain_ms >= 0);

-- What the retention reads, the longest ended first. A row comes in when its flow ends: nothing that an
-- open flow goes through touches these. The time of those with one of their own is computed in UTC,
-- where a day is a day, so that it can stand in an index.
create index flows_closed on flows (closed_at, id)
  where closed_at is not null and retain_ms is null and hold is null;
create index flows_closed_own on flows
  (((closed_at at time zone 'UTC') + retain_ms * interval '1 millisecond'), id)
  where closed_at is not null and retain_ms is not null and hold is null;

-- The list of those on hold: nearly always short.
create index flows_held on flows (namespace, created_at, id) where hold is not null;

-- What was told of a flow goes with it, and it does not go before all has been told.
create index deliveries_by_flow on deliveries (flow_id) where flow_id is not null;

-- Not validated: the rows that are there fit the narrower list of before, and a look at all of them
-- would hold everybody up.
alter table flow_events
  drop constraint flow_events_kind_check,
  add constraint flow_events_kind_check check (kind in (
    'created', 'started', 'waiting', 'wait_progressed', 'wait_moved', 'resumed', 'state_updated',
    'labels_updated', 'finished', 'failed', 'cancel_requested', 'cancelled', 'step_observed',
    'step_enqueued', 'step_settled', 'step_dead', 'quarantined', 'reopened',
    'retention_updated')) not valid;

-- Work that one process does at a time, and what has come of it. A configuration table: small, and
-- without a shard.
create table sweepers (
  name text primary key,
  -- Who does it. Another process takes over when the time is past.
  lease_token uuid,
  leased_until timestamptz(3),
  deleted_total bigint not null default 0 check (deleted_total >= 0),
  last_deleted_at timestamptz(3),
  -- What the last pass over everything had to leave, and when that ended.
  held_back bigint not null default 0 check (held_back >= 0),
  last_pass_at timestamptz(3),
  check ((lease_token is null) = (leased_until is null))
);

insert into sweepers (name) values ('flows');

-- Down Migration

drop table sweepers;
delete from flow_events where kind = 'retention_updated';
alter table flow_events
  drop constraint flow_events_kind_check,
  add constraint flow_events_kind_check check (kind in (
    'created', 'started', 'waiting', 'wait_progressed', 'wait_moved', 'resumed', 'state_updated',
    'labels_updated', 'finished', 'failed', 'cancel_requested', 'cancelled', 'step_observed',
    'step_enqueued', 'step_settled', 'step_dead', 'quarantined', 'reopened')) not valid;
drop index deliveries_by_flow;
drop index flows_held;
drop index flows_closed_own;
drop index flows_closed;
alter table flows drop constraint flows_retain_is_a_time, drop column hold, drop column retain_ms;
