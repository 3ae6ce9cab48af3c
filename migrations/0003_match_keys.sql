-- Up Migration

-- What present waits can be found by: topic and correlation. A row lives on its correlation's shard,
-- opens with its wait and goes with it, in the same transactions.
create table match_keys (
  flow_id uuid not null,
  wait_id uuid not null,
  flow_shard smallint not null,
  shard smallint not null,
  since timestamptz(3) not null,
  namespace text not null,
  topic text not null,
  correlation_id text not null,
  primary key (namespace, topic, correlation_id, flow_id, wait_id, shard)
);

create index match_keys_by_correlation on match_keys (namespace, correlation_id);

-- Down Migration

drop table match_keys;
