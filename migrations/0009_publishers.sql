-- Up Migration

-- How far each publisher of audit events has come, and which process does its work at the moment.
-- The log itself is the outbox: everything behind the position is still to be published.
create table publishers (
  name text primary key,
  -- The last event that was published, in the order of the feed over all flows.
  xid xid8 not null,
  flow_id uuid not null,
  revision integer not null,
  -- Whose transaction ids order the feed; null where the server does not say. In another cluster the
  -- position is void.
  cluster text,
  -- Who publishes. Another process takes over when the time is past; the position can then no longer
  -- be moved with the old token.
  lease_token uuid,
  leased_until timestamptz(3),
  check ((lease_token is null) = (leased_until is null))
);

-- Down Migration

drop table publishers;
