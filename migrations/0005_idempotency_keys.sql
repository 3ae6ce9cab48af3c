-- Up Migration

-- Answers to requests that carried an Idempotency-Key, committed with their effect. `scope` is the
-- caller, and the flow for requests on one.
create table idempotency_keys (
  expires_at timestamptz(3) not null,
  shard smallint not null,
  namespace text not null,
  scope text not null,
  key text not null,
  fingerprint text not null,
  -- json, not jsonb: the stored answer is given again as it was.
  reply json not null,
  primary key (namespace, scope, key, shard)
);

create index idempotency_keys_expiry on idempotency_keys (expires_at);

-- Down Migration

drop table idempotency_keys;
