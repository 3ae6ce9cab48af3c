-- Up Migration

-- Where inbound webhooks come from. A configuration table: small, and without a shard. The secrets
-- are stored as they were given, since signatures are computed with them.
create table sources (
  ttl_ms bigint check (ttl_ms >= 0),
  created_at timestamptz(3) not null,
  updated_at timestamptz(3) not null,
  namespace text not null,
  id text not null,
  deliver text not null check (deliver in ('one', 'all')),
  secrets text[] not null,
  verify jsonb not null,
  map jsonb not null,
  primary key (namespace, id)
);

-- Messages as they arrived from outside: `accepted` ones in the transaction of their signal, those
-- that could not be mapped (`unmapped`) or read at all (`rejected`) with the reason. A row of an
-- accepted message lives on its signal's shard. There is no foreign key to sources: messages outlive
-- their source until the retention is over, and not every kind of source has a row.
create table inbound_messages (
  id uuid not null,
  signal_id uuid,
  shard smallint not null,
  received_at timestamptz(3) not null,
  namespace text not null,
  source text not null,
  outcome text not null check (outcome in ('accepted', 'unmapped', 'rejected')),
  reason text,
  -- json, not jsonb: shown again in the order in which they came.
  headers json not null,
  body bytea not null,
  primary key (id, shard),
  constraint inbound_messages_reason check ((outcome = 'accepted') = (reason is null)),
  constraint inbound_messages_signal check (outcome = 'accepted' or signal_id is null)
);

create index inbound_messages_by_source on inbound_messages (namespace, source, received_at, id);
-- What needs somebody's attention, without a walk over all that went well.
create index inbound_messages_not_accepted on inbound_messages (namespace, source, received_at, id)
  where outcome <> 'accepted';
create index inbound_messages_by_age on inbound_messages (received_at);

-- Down Migration

drop table inbound_messages;
drop table sources;
