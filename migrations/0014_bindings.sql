-- Up Migration

-- Who may do what: a caller's identity, its namespace, and what it is allowed. Configuration tables: small,
-- and without a shard.
create table bindings (
  id uuid primary key,
  -- How far ahead its timers may be; null: as far as anybody's.
  timer_max_horizon_ms bigint check (timer_max_horizon_ms > 0),
  created_at timestamptz(3) not null,
  updated_at timestamptz(3) not null,
  expires_at timestamptz(3),
  namespace text not null,
  -- What audit events call it.
  name text not null,
  -- Null: every owner's flows.
  owner_session_key text,
  requester_origin text,
  actions text[] not null,
  -- Null: every controller's.
  controllers text[],
  -- {"per_minute", "burst"}; null: no limit of its own.
  rate jsonb,
  unique (namespace, name)
);

create index bindings_by_time on bindings (created_at, id);

-- The keys of bindings. Of the secret there is only its SHA-256.
create table binding_keys (
  id uuid primary key,
  binding_id uuid not null references bindings (id) on delete cascade,
  -- The key that this one was minted from: it goes with that one.
  parent_id uuid references binding_keys (id) on delete cascade,
  created_at timestamptz(3) not null,
  expires_at timestamptz(3),
  last_used_at timestamptz(3),
  name text,
  hash bytea not null check (length(hash) = 32),
  -- What a minted key may not do of what its binding may.
  narrowed jsonb
);

create index binding_keys_by_binding on binding_keys (binding_id, created_at, id);
create index binding_keys_by_parent on binding_keys (parent_id) where parent_id is not null;

-- Down Migration

drop table binding_keys;
drop table bindings;
