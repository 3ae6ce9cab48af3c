-- Up Migration

-- Endpoints that run a step are told when its flow is to end. The row of the step itself says that it
-- has to be done, so that it is done after any restart.
alter table flow_steps
  -- The claim whose endpoint was told. A later claim is told anew, without anything to be reset.
  add column cancel_told integer,
  -- Until then a process is telling it.
  add column cancel_telling_until timestamptz(3);

-- The steps whose endpoints have to be told: nearly always none. One that has ended with its flow keeps
-- the token of whoever runs it.
create index flow_steps_cancel_notices on flow_steps (namespace, controller_id, id)
  where pushed and cancel_requested and lease_token is not null
    and cancel_told is distinct from claims;

-- Down Migration

drop index flow_steps_cancel_notices;
alter table flow_steps drop column cancel_told, drop column cancel_telling_until;
