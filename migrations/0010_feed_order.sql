-- Up Migration

-- The feed is read in the order of transactions. One that began before another may still change a
-- flow after it: its events then stand under the later transaction, which this column remembers, so
-- that the events of one flow never change places.
alter table flows add column last_xid xid8 not null default '0';

-- Down Migration

alter table flows drop column last_xid;
