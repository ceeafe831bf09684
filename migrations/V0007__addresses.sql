-- Who has which address, in a table of its own. Where tables are distributed by user, no constraint of theirs can say that an
-- address is one user's alone; this one is distributed by address, and can.

create table addresses (
  email             text not null constraint addresses_pkey primary key,
  -- To be user_id when everybody is in here, which is the next step. Until then a program that asks for that is told that the
  -- table is not ready, rather than that nobody has the address. No foreign key: the user is in another place.
  user_id_of_some   uuid not null
);

-- Programs of the version before know nothing of the table: for them it is kept here, by the owner's rights, which a role that
-- serves them has not been given. By positions, for the column that gets another name. Users first and addresses after, as in
-- programs that write both: whoever is the first to take an address in one is so in the other, and two never wait for each other.
create function keep_addresses() returns trigger language plpgsql security definer as $$
begin
  if tg_op <> 'DELETE' then
    insert into addresses values (new.email, new.id) on conflict do nothing;
  end if;
  if tg_op <> 'INSERT' then
    delete from addresses where email = old.email;
  end if;
  return null;
end $$;
-- It finds this schema's tables and no others, and nobody hangs it on a table of their own.
do $$ begin
  execute format('alter function keep_addresses() set search_path = %I, pg_temp', current_schema());
end $$;
revoke execute on function keep_addresses() from public;

create trigger users_address_kept after insert or delete on users
  for each row execute function keep_addresses();
create trigger users_address_changed after update of email on users
  for each row when (old.email <> new.email) execute function keep_addresses();
