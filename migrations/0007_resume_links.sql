-- Up Migration

-- Links that end one wait each. The token is not here, only its SHA-256; a token names its shard.
create table resume_links (
  token_hash bytea not null check (length(token_hash) = 32),
  flow_id uuid not null,
  wait_id uuid not null,
  -- The revision that began the wait: the first ending after it is what became of the link.
  revision integer not null check (revision >= 0),
  shard smallint not null,
  created_at timestamptz(3) not null,
  -- When it stops working; null: with its wait.
  expires_at timestamptz(3),
  namespace text not null,
  -- A JSON Schema that payloads must fit.
  schema json,
  primary key (token_hash, shard),
  foreign key (flow_id, shard) references flows (id, shard) on delete cascade
);

create index resume_links_by_flow on resume_links (flow_id);

-- Down Migration

drop table resume_links;
