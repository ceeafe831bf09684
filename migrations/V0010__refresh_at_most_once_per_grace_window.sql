-- A session rotates at most once per grace window: a current token that a rotation issued inside the window is answered with itself.
-- The rule is refresh_verdict; docs/token-lifecycle.md has the table of its cases.
--
-- Parameters begin with p_, so that none has the name of a column. A change to a function gives the new one another name, as
-- processes of the version before still call the old one.

-- Decides what a presented token is worth. Postgres inlines it into the statements that ask. It only compares times, which makes
-- it immutable; callers read the clock once.
create function refresh_verdict(
  -- The session's row, and when its user was disabled.
  generation bigint, secret_hash bytea, rotated_at timestamptz, rotation_key bytea,
  expires_at timestamptz, ended_at timestamptz, ended_by text, disabled_at timestamptz,
  -- The presented token, the hashes of its possible successors, and the hash of the request's Idempotency-Key.
  token_generation bigint, token_hash bytea, successor_hashes bytea[], request_key bytea,
  -- The time now. A session last rotated at idle_start or before has expired; one rotated after grace_start is in its window.
  clock timestamptz, idle_start timestamptz, grace_start timestamptz
) returns text language sql immutable parallel safe as $$
  select case
    when ended_by = 'expired'                                                                       then 'expired'
    when ended_at is not null                                                                       then 'ended'
    when disabled_at is not null                                                                    then 'disabled'
    when clock >= expires_at or rotated_at <= idle_start                                            then 'expired'
    when generation = token_generation and secret_hash = token_hash
      and generation > 0 and rotated_at > grace_start                                               then 'unchanged'
    when generation = token_generation and secret_hash = token_hash                                 then 'rotate'
    when generation = token_generation + 1 and secret_hash = any (successor_hashes)
      and (rotated_at > grace_start or rotation_key = request_key)                                  then 'repeat'
    when generation > token_generation                                                              then 'replay'
    when generation < token_generation                                                              then 'ahead'
    else                                                                                                 'unknown'
  end
$$;

-- Answers several tokens at once, as far as the verdict is 'rotate' or 'unchanged'. It returns nothing for the others: their verdict
-- is another one, or another transaction has locked or changed their row. It never waits for a lock.
create function refresh_batch(
  p_user_ids uuid[], p_session_ids uuid[], p_generations bigint[], p_hashes bytea[],
  p_successors bytea[], p_keys bytea[], p_user_agents text[], p_ip_addresses inet[],
  -- In seconds.
  p_idle double precision, p_grace double precision,
  p_with_profile boolean
) returns table (
  -- Where in the arrays the token is, from 1.
  item bigint,
  verdict text, user_id uuid, id uuid, email text, role text, profile jsonb, created_at timestamptz, now timestamptz, ends_at timestamptz
) language plpgsql as $$
#variable_conflict use_column
declare
  p_now constant timestamptz := clock_timestamp();
  p_idle_start constant timestamptz := p_now - p_idle * interval '1 second';
  p_grace_start constant timestamptz := case when p_grace > 0 then p_now - p_grace * interval '1 second' else 'infinity' end;
  p_rotated bigint;
begin
  -- Nearly all refreshes end here. The first array is selected, so that the planner does not know its length: it would plan for each
  -- length anew.
  return query
    with locked as materialized (
      select p.item, p.successor, p.rotation_key, p.user_agent, p.ip_address, s.user_id, s.id, s.ctid as row_id,
             u.email, u.role, case when p_with_profile then u.profile end as profile
      from unnest((select p_user_ids), p_session_ids, p_generations, p_hashes, p_successors, p_keys, p_user_agents, p_ip_addresses)
        with ordinality as p (user_id, id, generation, secret_hash, successor, rotation_key, user_agent, ip_address, item)
      join sessions s on s.user_id = p.user_id and s.id = p.id
      join users u on u.id = p.user_id
      where refresh_verdict(s.generation, s.secret_hash, s.rotated_at, s.rotation_key,
                            s.expires_at, s.ended_at, s.ended_by, u.disabled_at,
                            p.generation, p.secret_hash, null, null, p_now, p_idle_start, p_grace_start) = 'rotate'
      for no key update of s skip locked
    )
    -- By the place of the locked version. A row that was changed meanwhile has a version that this statement does not see, and stays
    -- as it is: its verdict may be another one.
    update sessions s set
      generation   = s.generation + 1,
      secret_hash  = l.successor,
      rotated_at   = p_now,
      rotation_key = l.rotation_key,
      user_agent   = coalesce(l.user_agent, s.user_agent),
      ip_address   = coalesce(l.ip_address, s.ip_address)
    from locked l
    where s.ctid = l.row_id and s.user_id = l.user_id and s.id = l.id
    returning l.item, 'rotate', s.user_id, s.id, l.email::text, l.role::text, l.profile, s.created_at, p_now,
              least(s.expires_at, s.rotated_at + p_idle * interval '1 second');
  get diagnostics p_rotated = row_count;
  if p_rotated = cardinality(p_user_ids) then
    return;
  end if;

  return query
    select p.item, 'unchanged', s.user_id, s.id, u.email::text, u.role::text, case when p_with_profile then u.profile end,
           s.created_at, p_now, least(s.expires_at, s.rotated_at + p_idle * interval '1 second')
    from unnest((select p_user_ids), p_session_ids, p_generations, p_hashes) with ordinality
      as p (user_id, id, generation, secret_hash, item)
    join sessions s on s.user_id = p.user_id and s.id = p.id
    join users u on u.id = p.user_id
    where refresh_verdict(s.generation, s.secret_hash, s.rotated_at, s.rotation_key,
                          s.expires_at, s.ended_at, s.ended_by, u.disabled_at,
                          p.generation, p.secret_hash, null, null, p_now, p_idle_start, p_grace_start) = 'unchanged';
end $$;

-- Answers one token, whatever its verdict, and records a replay. No row where there is no such session.
--
-- Every verdict but 'unchanged' locks a row. That makes a commit, which waits for the synchronous standby: a primary that has been
-- replaced and does not know it yet signs nobody out.
create function refresh_one(
  p_user_id uuid, p_session_id uuid, p_generation bigint, p_hash bytea,
  -- A rotation writes the first. An earlier rotation may have written any of the others.
  p_successor bytea, p_successors bytea[], p_key bytea,
  -- In seconds.
  p_idle double precision, p_grace double precision,
  p_user_agent text, p_ip_address inet, p_request_id text,
  -- Whether a replay is told by mail.
  p_with_mails boolean, p_with_profile boolean,
  -- If not, a session whose row another transaction has locked gets the verdict 'locked'.
  p_may_wait boolean
) returns table (
  verdict text, user_id uuid, id uuid, email text, role text, profile jsonb, created_at timestamptz, secret_hash bytea,
  now timestamptz, ends_at timestamptz, ended_by text, ended_at timestamptz
) language plpgsql as $$
#variable_conflict use_column
declare
  p_now timestamptz := clock_timestamp();
  p_idle_start timestamptz;
  p_grace_start timestamptz;
  p_verdict text;
  p_row record;
  p_lock boolean;
begin
  -- Nearly all refreshes end here: a rotation that waits for no lock. Distributed tables (Citus) take the steps below instead.
  if not p_may_wait then
    p_idle_start := p_now - p_idle * interval '1 second';
    p_grace_start := case when p_grace > 0 then p_now - p_grace * interval '1 second' else 'infinity' end;
    return query
      with locked as materialized (
        select s.ctid as row_id, u.email, u.role, case when p_with_profile then u.profile end as profile
        from sessions s join users u on u.id = s.user_id
        where s.user_id = p_user_id and s.id = p_session_id and u.id = p_user_id
          and refresh_verdict(s.generation, s.secret_hash, s.rotated_at, s.rotation_key,
                              s.expires_at, s.ended_at, s.ended_by, u.disabled_at,
                              p_generation, p_hash, null, null, p_now, p_idle_start, p_grace_start) = 'rotate'
        for no key update of s skip locked
      )
      update sessions s set
        generation   = s.generation + 1,
        secret_hash  = p_successor,
        rotated_at   = p_now,
        rotation_key = p_key,
        user_agent   = coalesce(p_user_agent, s.user_agent),
        ip_address   = coalesce(p_ip_address, s.ip_address)
      from locked l
      where s.ctid = l.row_id and s.user_id = p_user_id and s.id = p_session_id
      returning 'rotate', s.user_id, s.id, l.email::text, l.role::text, l.profile, s.created_at, s.secret_hash, p_now,
                least(s.expires_at, s.rotated_at + p_idle * interval '1 second'), null::text, null::timestamptz;
    if found then
      return;
    end if;
  end if;

  -- A standby could answer 'unchanged'.
  if pg_is_in_recovery() then
    raise exception 'the server is a standby' using errcode = 'read_only_sql_transaction';
  end if;

  -- Reads without a lock first, as 'unchanged' needs none. Each statement sees all that was committed before it, and the clock is
  -- read after the lock was granted.
  foreach p_lock in array array[false, true] loop
    if p_lock then
      if p_may_wait then
        perform from sessions s where s.user_id = p_user_id and s.id = p_session_id for update;
      else
        perform from sessions s where s.user_id = p_user_id and s.id = p_session_id for update skip locked;
        if not found then
          -- Another transaction has locked it, or has just deleted it.
          return query
            select 'locked', s.user_id, s.id, null::text, null::text, null::jsonb, null::timestamptz, null::bytea, null::timestamptz,
                   null::timestamptz, null::text, null::timestamptz
            from sessions s where s.user_id = p_user_id and s.id = p_session_id;
          if found then
            return;
          end if;
        end if;
      end if;
    end if;
    p_now := clock_timestamp();
    p_idle_start := p_now - p_idle * interval '1 second';
    p_grace_start := case when p_grace > 0 then p_now - p_grace * interval '1 second' else 'infinity' end;
    -- Casts, as a record's fields must keep their types for the life of a connection, also when a column changes its type.
    select s.generation, s.secret_hash, s.rotated_at, s.rotation_key, s.created_at, s.expires_at, s.ended_at, s.ended_by::text,
           coalesce(s.label, s.user_agent)::text as device, u.email::text, u.role::text, u.disabled_at, u.email_verified_at,
           case when p_with_profile then u.profile end::jsonb as profile
      into p_row
      from sessions s join users u on u.id = s.user_id
      where s.user_id = p_user_id and s.id = p_session_id;
    if not found then
      perform from turns t where t.name = 'sweep' for key share;
      if not found then
        raise exception 'the table turns has lost its row sweep';
      end if;
      return;
    end if;
    p_verdict := refresh_verdict(p_row.generation, p_row.secret_hash, p_row.rotated_at, p_row.rotation_key,
                                 p_row.expires_at, p_row.ended_at, p_row.ended_by, p_row.disabled_at,
                                 p_generation, p_hash, p_successors, p_key, p_now, p_idle_start, p_grace_start);
    exit when p_verdict = 'unchanged';
  end loop;

  -- Each statement that reads or writes a table names the user, and so goes to one node where tables are distributed.
  if p_verdict = 'rotate' then
    update sessions s set
      generation   = s.generation + 1,
      secret_hash  = p_successor,
      rotated_at   = p_now,
      rotation_key = p_key,
      user_agent   = coalesce(p_user_agent, s.user_agent),
      ip_address   = coalesce(p_ip_address, s.ip_address)
    where s.user_id = p_user_id and s.id = p_session_id;
    p_row.secret_hash := p_successor;
    p_row.rotated_at := p_now;
  elsif p_verdict = 'replay' then
    p_row.ended_by := 'replayed';
    p_row.ended_at := p_now;
    update sessions s set ended_at = p_now, ended_by = 'replayed', ended_ip_address = p_ip_address
    where s.user_id = p_user_id and s.id = p_session_id;
    -- Tells the owner, but for no more than 20 mails of such kinds in an hour.
    if p_with_mails and p_row.email_verified_at is not null and
       (select count(*) from events e
        where e.user_id = p_user_id and e.occurred_at > p_now - interval '1 hour'
          and e.kind in ('password_changed', 'password_reset', 'refresh_token_replayed')) <= 20
    then
      insert into mails (id, kind, recipient, user_id, details)
      values (gen_random_uuid(), 'session_replayed', p_row.email, p_user_id,
              jsonb_strip_nulls(jsonb_build_object('ip_address', host(p_ip_address), 'device', p_row.device)));
    end if;
    insert into events (user_id, occurred_at, id, session_id, kind, outcome, reason, ip_address, user_agent, request_id)
    values (p_user_id, p_now, gen_random_uuid(), p_session_id, 'refresh_token_replayed', 'failure', 'replayed',
            p_ip_address, p_user_agent, p_request_id);
  elsif p_verdict = 'disabled' then
    p_row.ended_by := 'disabled';
    p_row.ended_at := p_row.disabled_at;
  end if;
  return query select p_verdict, p_user_id, p_session_id, p_row.email, p_row.role, p_row.profile, p_row.created_at,
                      p_row.secret_hash, p_now, least(p_row.expires_at, p_row.rotated_at + p_idle * interval '1 second'),
                      p_row.ended_by, p_row.ended_at;
end $$;
