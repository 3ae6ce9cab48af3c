-- Up Migration

-- A signal of a caller that is held to one owner, or to some controllers, reaches flows of these alone, now
-- and as long as it is kept. Null: any.
alter table signals add column owner_session_key text, add column controllers text[];

-- Lists of such callers. There is nothing in it as long as there are none.
create index signals_of_owner on signals (owner_session_key, received_at, id)
  where owner_session_key is not null;

-- Down Migration

drop index signals_of_owner;
alter table signals drop column owner_session_key, drop column controllers;
