-- Up Migration

-- The W3C Trace Context of what caused them: whatever follows from it, days later, can be linked to it.
-- Null, which costs nothing, where the request had none.
alter table flows add column traceparent text;
alter table flow_steps add column traceparent text;
alter table signals add column traceparent text;
alter table deliveries add column traceparent text;

-- Down Migration

alter table deliveries drop column traceparent;
alter table signals drop column traceparent;
alter table flow_steps drop column traceparent;
alter table flows drop column traceparent;
