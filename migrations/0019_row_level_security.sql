-- Up Migration

-- A second wall between namespaces, for a role that owns nothing: rows of a namespace are there for it as
-- long as the transaction says so, in a setting of its own; without the setting there are none. `*` is
-- said by background work that belongs to no namespace. Whoever owns the tables is not held to it, so that
-- nothing changes where the service is the owner.
--
-- The setting is looked at once for each statement, not for each row: that is what the selects around it
-- are for. Neither half can serve as a condition of an index, so that statements keep the plans they have.
do $$
declare
  one text;
  everywhere constant text := $e$(select current_setting('taskflow.namespaces', true) = '*')$e$;
  own constant text := everywhere || $e$ or namespace = any (
    (select string_to_array(current_setting('taskflow.namespaces', true), ','))::text[])$e$;
begin
  foreach one in array array[
    'flows', 'flow_events', 'flow_steps', 'match_keys', 'idempotency_keys', 'signals', 'resume_links',
    'sources', 'inbound_messages', 'controllers', 'hooks', 'deliveries', 'bindings'
  ] loop
    execute format('alter table %I enable row level security', one);
    execute format('create policy within_namespaces on %I using (%s) with check (%2$s)', one, own);
  end loop;
end $$;

-- Tables without a namespace show what belongs to a row that is shown.
do $$
declare
  part record;
  rule text;
begin
  for part in select * from (values
    ('step_attempts', 'flows o where o.id = step_attempts.flow_id and o.shard = step_attempts.shard'),
    ('flow_memos', 'flows o where o.id = flow_memos.flow_id and o.shard = flow_memos.shard'),
    ('delivery_attempts',
      'deliveries o where o.id = delivery_attempts.delivery_id and o.shard = delivery_attempts.shard'),
    ('binding_keys', 'bindings o where o.id = binding_keys.binding_id')
  ) as t(name, whole) loop
    rule := format($e$(select current_setting('taskflow.namespaces', true) = '*')
      or exists (select 1 from %s)$e$, part.whole);
    execute format('alter table %I enable row level security', part.name);
    execute format('create policy within_namespaces on %I using (%s) with check (%2$s)', part.name, rule);
  end loop;
end $$;

-- The role of docs/security.md, for roles that log in to be members of. Roles belong to the server: another
-- database of it may have made this one, or be making it now. Where the migrating role may make none,
-- somebody else does, and nothing fails.
do $$
begin
  if to_regrole('taskflow_service') is null then
    create role taskflow_service nologin;
  end if;
exception
  when duplicate_object or unique_violation then null;
  when insufficient_privilege then
    raise notice 'The role taskflow_service was not made: % may make no roles. docs/security.md tells how to make it.', current_user;
end $$;

do $$
begin
  if to_regrole('taskflow_service') is null then return; end if;
  execute format('grant usage on schema %I to taskflow_service', current_schema());
  grant select, insert, update, delete on
    flows, flow_steps, step_attempts, flow_memos, match_keys, idempotency_keys, signals, resume_links,
    sources, inbound_messages, controllers, hooks, deliveries, delivery_attempts, bindings, binding_keys,
    publishers, sweepers to taskflow_service;
  grant select, insert, delete on flow_events to taskflow_service;
  grant select on schema_migrations to taskflow_service;
  execute format('alter default privileges in schema %I
    grant select, insert, update, delete on tables to taskflow_service', current_schema());
exception
  when insufficient_privilege then
    raise notice 'Not all was granted to the role taskflow_service: %. docs/security.md has the statements.', sqlerrm;
end $$;

-- Down Migration

do $$
declare
  one text;
begin
  foreach one in array array[
    'step_attempts', 'flow_memos', 'delivery_attempts', 'binding_keys',
    'flows', 'flow_events', 'flow_steps', 'match_keys', 'idempotency_keys', 'signals', 'resume_links',
    'sources', 'inbound_messages', 'controllers', 'hooks', 'deliveries', 'bindings'
  ] loop
    execute format('drop policy within_namespaces on %I', one);
    execute format('alter table %I disable row level security', one);
  end loop;
end $$;

-- The role stays: other databases of the server may use it, and whoever made it by hand did not ask for its
-- end. Nothing here is granted to it any more.
do $$
begin
  if to_regrole('taskflow_service') is null then return; end if;
  execute format('alter default privileges in schema %I revoke all on tables from taskflow_service', current_schema());
  execute format('revoke all on all tables in schema %I from taskflow_service', current_schema());
  execute format('revoke usage on schema %I from taskflow_service', current_schema());
exception
  when insufficient_privilege then
    raise notice 'Not all was taken from the role taskflow_service: %.', sqlerrm;
end $$;
