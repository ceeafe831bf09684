-- A refresh: decides what a presented token is worth, and acts on it, whatever it is. A function, as nearly all refreshes are a
-- rotation: Postgres then prepares and runs the few steps of that, instead of all steps that there may be.
--
-- Whoever changes it gives the new one another name, for the processes that still call this. No column may ever have the name of a
-- parameter: it would be taken for that.

create function refresh_session(
  of_user uuid, of_session uuid, of_generation bigint, of_hash bytea,
  -- What may follow: `to_newest` is written by a rotation, any of `to_successors` may have been by an earlier one.
  to_newest bytea, to_successors bytea[], of_key bytea,
  -- In seconds.
  idle_seconds double precision, grace_seconds double precision,
  of_agent text, of_address inet, of_request text,
  -- Whether a replay is told by mail, and whether the profile is to come, too.
  with_mails boolean, with_profile boolean
) returns table (
  verdict text, user_id uuid, id uuid, email text, role text, profile jsonb, created_at timestamptz, secret_hash bytea,
  now timestamptz, ends_at timestamptz, ended_by text, ended_at timestamptz
) language plpgsql as $$
#variable_conflict use_column
declare
  of_start constant timestamptz := clock_timestamp();
  -- A session that was last rotated before that is over, and this one when it is not rotated until that. Computed here, as Citus
  -- lets no update compute with a column and an interval.
  of_idle_start constant timestamptz := of_start - idle_seconds * interval '1 second';
  of_idle_end constant timestamptz := of_start + idle_seconds * interval '1 second';
begin
  -- Of simultaneous ones the first writes. The others wait for it, look at the row again, and do not find what they look for.
  return query
    update sessions s set
      generation   = s.generation + 1,
      secret_hash  = to_newest,
      rotated_at   = of_start,
      rotation_key = of_key,
      user_agent   = coalesce(of_agent, s.user_agent),
      ip_address   = coalesce(of_address, s.ip_address)
    from users u
    where s.user_id = of_user and s.id = of_session and u.id = of_user
      and s.generation = of_generation and s.secret_hash = of_hash and s.ended_at is null and u.disabled_at is null
      and of_start < s.expires_at and s.rotated_at > of_idle_start
    -- Of the types above, whatever later steps make of the columns.
    returning 'rotate', s.user_id, s.id, u.email::text, u.role::text, case when with_profile then u.profile end, s.created_at,
              s.secret_hash, of_start, least(s.expires_at, of_idle_end), null::text, null::timestamptz;
  if found then
    return;
  end if;

  -- `now` is read after the lock was granted, once, so that every comparison and every column agree. Each part that reads or
  -- writes a table names the user, and so goes to one place where tables are distributed.
  return query
    with current as (
      select s.user_id, s.id, s.generation, s.secret_hash, s.rotated_at, s.rotation_key, s.created_at,
             s.expires_at, s.ended_at, s.ended_by, coalesce(s.label, s.user_agent) as device, u.email, u.role, u.disabled_at,
             u.email_verified_at is not null as verified, case when with_profile then u.profile end as profile,
             case when s.generation > of_generation then
               -- Mails of one account in an hour that tell of such things.
               (select count(*) from events
                where user_id = of_user and occurred_at > clock_timestamp() - interval '1 hour'
                  and kind in ('password_changed', 'password_reset', 'refresh_token_replayed')) <= 20
             end as may_be_told
      from sessions s join users u on u.id = s.user_id
      where s.user_id = of_user and s.id = of_session
      for update of s
    ), timed as (
      select current.*, clock_timestamp() as now, gen_random_uuid() as event_id from current
    ), decided as (
      select timed.*, case
        when ended_by = 'expired'                                        then 'expired'
        when ended_at is not null                                        then 'ended'
        when disabled_at is not null                                     then 'disabled'
        when now >= expires_at
          or now >= rotated_at + idle_seconds * interval '1 second'      then 'expired'
        when generation = of_generation and secret_hash = of_hash        then 'rotate'
        when generation = of_generation + 1 and secret_hash = any(to_successors)
          and (now < rotated_at + grace_seconds * interval '1 second'
               or rotation_key = of_key)                                 then 'repeat'
        when generation > of_generation                                  then 'replay'
        else                                                                  'unknown'
      end as verdict
      from timed
    ), acted as (
      update sessions t set
        generation       = t.generation + (d.verdict = 'rotate')::int,
        secret_hash      = case d.verdict when 'rotate' then to_newest else t.secret_hash end,
        rotated_at       = case d.verdict when 'rotate' then d.now else t.rotated_at end,
        rotation_key     = case d.verdict when 'rotate' then of_key else t.rotation_key end,
        user_agent       = case d.verdict when 'rotate' then coalesce(of_agent, t.user_agent) else t.user_agent end,
        ip_address       = case d.verdict when 'rotate' then coalesce(of_address, t.ip_address) else t.ip_address end,
        ended_at         = case d.verdict when 'replay' then d.now end,
        ended_by         = case d.verdict when 'replay' then 'replayed' end,
        ended_ip_address = case d.verdict when 'replay' then of_address end
      from decided d
      where t.user_id = of_user and t.id = of_session and d.verdict in ('rotate', 'replay')
    ), recorded as (
      -- Reads a table of the user's rows, or Citus would have all places know what is recorded.
      insert into events
        (user_id, occurred_at, id, session_id, kind, outcome, reason, ip_address, user_agent, request_id)
      select t.user_id, d.now, d.event_id, d.id, 'refresh_token_replayed', 'failure', 'replayed', of_address, of_agent, of_request
      from decided d join sessions t on t.user_id = of_user and t.id = d.id where d.verdict = 'replay'
      returning true
    ), mailed as (
      insert into mails (id, kind, recipient, user_id, details)
      select gen_random_uuid(), 'session_replayed', email, user_id,
             jsonb_strip_nulls(jsonb_build_object('ip_address', host(of_address), 'device', device))
      from decided where verdict = 'replay' and with_mails and verified and may_be_told
    )
    select d.verdict, d.user_id, d.id, d.email::text, d.role::text, d.profile, d.created_at, d.secret_hash, d.now,
           least(d.expires_at, case d.verdict when 'rotate' then d.now else d.rotated_at end + idle_seconds * interval '1 second'),
           case d.verdict when 'replay' then 'replayed' when 'disabled' then 'disabled' else d.ended_by::text end,
           case d.verdict when 'replay' then d.now when 'disabled' then d.disabled_at else d.ended_at end
    from decided d;
end $$;
