-- What happened to accounts: who, when, from where, with what outcome. Written in the transaction that does the thing.

create table events (
  -- Whose account. The nil UUID when it is nobody's: an unknown address at login. No foreign key, as the trail outlives
  -- the account.
  user_id     uuid        not null,
  occurred_at timestamptz not null default clock_timestamp(),
  id          uuid        not null default gen_random_uuid(),
  kind        text        not null constraint events_kind_check check (kind in
                ('registered', 'logged_in', 'login_failed', 'session_ended', 'refresh_token_replayed', 'password_changed',
                 'password_change_failed', 'account_disabled', 'account_enabled', 'role_changed')),
  outcome     text        not null constraint events_outcome_check check (outcome in ('success', 'failure')),
  -- What the kind leaves open: why a session ended or a login failed, the new role.
  reason      text,
  session_id  uuid,
  -- All three are null when an operator acted on the command line.
  ip_address  inet,
  user_agent  text,
  request_id  text,

  constraint events_pkey primary key (user_id, occurred_at, id)
);

-- For the sweep of what is past its retention.
create index events_occurred_at_idx on events (occurred_at);

-- Append-only for every role but the owner: such a role, when it is granted select, insert and delete, can read and add,
-- change nothing, and remove only what is older than the least retention that can be set.
alter table events enable row level security;
create policy events_read on events for select using (true);
create policy events_append on events for insert with check (true);
create policy events_expire on events for delete using (occurred_at < clock_timestamp() - interval '7 days');
