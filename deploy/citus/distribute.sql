-- Distributes claviger's tables over the nodes of a Citus cluster. docs/how-to/citus.md says when and how. Run it once, in the
-- database on the coordinator, as the owner of the tables, when the schema is up to date:
--
--   psql -v ON_ERROR_STOP=1 -d "$OWNER_URL" -f deploy/citus/distribute.sql
--
-- It is one transaction, and is undone whole if anything fails. Servers may run meanwhile, but wait for it: it holds the tables for
-- as long as it takes to copy them, about two minutes for a million accounts on a small machine.

\set ON_ERROR_STOP on
begin;
set local lock_timeout = '30s';

do $$
begin
  if not exists (select from pg_extension where extname = 'citus') then
    raise exception 'Citus is not in this database' using hint = 'As a superuser: create extension citus;';
  end if;
  if not exists (select from information_schema.columns where table_name = 'addresses' and column_name = 'user_id') then
    raise exception 'the schema is not up to date' using hint = 'Run: claviger migrate';
  end if;
  if exists (select from pg_dist_partition where logicalrelid = 'users'::regclass) then
    raise exception 'the tables are distributed already';
  end if;
end $$;

lock table users, sessions, verifications, events, deleted_users, addresses in access exclusive mode;

do $$ begin
  if exists (
    select from users u full join addresses a on a.email = u.email and a.user_id = u.id where u.id is null or a.email is null
  ) then
    raise exception 'users and addresses do not say the same'
      using hint = 'truncate addresses; insert into addresses (email, user_id) select email, id from users;';
  end if;
end $$;

-- What no node can know of all others. From here on addresses are unique by the table addresses alone, which programs that know
-- of it keep themselves. Programs before that table must not run any more.
drop trigger users_address_kept on users;
drop trigger users_address_changed on users;
drop function keep_addresses();
alter table users drop constraint users_email_key;

-- Not between a distributed table and one that is not yet.
alter table sessions drop constraint sessions_user_id_fkey;
alter table verifications drop constraint verifications_user_id_fkey;

-- By user, all that is a user's on one node.
select create_distributed_table('users', 'id');
select create_distributed_table('sessions', 'user_id', colocate_with => 'users');
select create_distributed_table('verifications', 'user_id', colocate_with => 'users');
select create_distributed_table('events', 'user_id', colocate_with => 'users');
select create_distributed_table('deleted_users', 'id', colocate_with => 'users');
-- By address: whoever signs in names nothing else.
select create_distributed_table('addresses', 'email', colocate_with => 'none');

alter table sessions add constraint sessions_user_id_fkey foreign key (user_id) references users (id) on delete cascade;
alter table verifications
  add constraint verifications_user_id_fkey foreign key (user_id) references users (id) on delete cascade;

-- On the coordinator stay: clients, mails, refinery_schema_history, throttles, turns.

-- Steps of a statement that read no table run where the statement came in, and not on a node in turn: so one clock decides.
do $$ begin
  execute format('alter database %I set citus.task_assignment_policy = %L', current_database(), 'greedy');
end $$;

commit;

-- What was copied is still in the coordinator's files, seen by nobody.
select truncate_local_data_after_distributing_table('users');
select truncate_local_data_after_distributing_table('events');
select truncate_local_data_after_distributing_table('deleted_users');
select truncate_local_data_after_distributing_table('addresses');
