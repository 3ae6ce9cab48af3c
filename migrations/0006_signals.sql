-- Up Migration

-- Signals: every inbound message, with its fate. One that finds no wait is kept (`buffered`) until a
-- wait takes it or it expires; one that was delivered stays for a while, so that a redelivery from its
-- sender is known for what it is.
--
-- One with a correlation lives on the correlation's shard, where waits look for it and where its
-- sender's id can be unique; a named one and one that came by a link live on their flow's shard.
create table signals (
  id uuid not null,
  -- With microseconds: kept signals are taken in this order, then by id.
  received_at timestamptz not null,
  expires_at timestamptz(3),
  -- Of `deliver = 'all'` with more waits to wake: those that began before this time, after this place.
  wake_before timestamptz,
  woken_since timestamptz,
  woken_wait uuid,
  -- The one flow that it is for. No foreign key: a signal may outlive its flow.
  flow_id uuid,
  wait_id uuid,
  delivered_count integer not null default 0 check (delivered_count >= 0),
  shard smallint not null,
  waking boolean not null default false,
  namespace text not null,
  kind text not null check (kind in ('external_event', 'manual', 'link')),
  outcome text not null check (outcome in ('buffered', 'delivered', 'expired')),
  deliver text not null check (deliver in ('one', 'all')),
  topic text,
  correlation_id text,
  name text,
  -- Who vouches for the sender's id: empty for callers of the API.
  source text not null default '',
  sender_id text,
  -- Who sent it, for the audit log of the flow that takes it.
  actor text not null,
  -- The first deliveries; the rest is only counted.
  deliveries jsonb not null default '[]',
  -- json, not jsonb: it is handed on as it came. SQL null when there is none.
  payload json,
  primary key (id, shard),
  constraint signals_target check (case kind
    when 'external_event' then topic is not null and correlation_id is not null
    when 'manual' then name is not null and flow_id is not null
    else wait_id is not null and flow_id is not null end),
  constraint signals_delivered check ((outcome = 'delivered') = (delivered_count > 0)),
  constraint signals_waking_has_an_end check (not waking or wake_before is not null),
  constraint signals_kept_for_a_time check (outcome <> 'buffered' or expires_at is not null)
)
with (
  fillfactor = 90,
  autovacuum_vacuum_scale_factor = 0.02,
  autovacuum_analyze_scale_factor = 0.02
);

-- A sender's id is unique for its correlation as long as the row is kept, also after delivery.
create unique index signals_sender on signals (namespace, correlation_id, source, sender_id, shard)
  where sender_id is not null and correlation_id is not null;
create unique index signals_sender_of_flow on signals (flow_id, source, sender_id, shard)
  where sender_id is not null and correlation_id is null;

-- What a new wait looks for, oldest first.
create index signals_kept on signals (namespace, topic, correlation_id, received_at, id)
  where outcome = 'buffered' and topic is not null;
create index signals_kept_for_flow on signals (flow_id, received_at, id)
  where outcome = 'buffered' and flow_id is not null;
create index signals_expiry on signals (expires_at) where outcome = 'buffered';
create index signals_waking on signals (received_at, id) where waking;

-- The retention: rows come in the order of time, so that a summary of blocks is enough.
create index signals_age on signals using brin (received_at);

-- Lists and near misses.
create index signals_by_time on signals (namespace, received_at, id);
create index signals_by_correlation on signals (namespace, correlation_id, received_at, id);
create index signals_by_topic on signals (namespace, topic, received_at, id);

-- The one that has waited longest is woken first, by the microseconds of the database.
alter table match_keys alter column since type timestamptz;
create index match_keys_by_age on match_keys (namespace, topic, correlation_id, since, wait_id);

-- Down Migration

drop index match_keys_by_age;
alter table match_keys alter column since type timestamptz(3);
drop table signals;
