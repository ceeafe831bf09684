-- What is needed to look back: which sessions ended lately, and which rows are old enough to go.

-- For the list of revocations. A rotation changes neither the columns nor the predicate, so it stays heap-only. While the
-- indexes are built, refreshes wait: about a second for a million sessions.
create index sessions_ended_at_idx on sessions (ended_at, id) where ended_at is not null;
-- For one user's live sessions, and for those that ended last, of which programs that log in for each run leave
-- thousands.
create index sessions_live_idx on sessions (user_id) where ended_at is null;
create index sessions_over_idx on sessions (user_id, ended_at) where ended_at is not null;
create index users_disabled_at_idx on users (disabled_at, id) where disabled_at is not null;

-- A session that had expired when it was to be ended.
alter table sessions
  drop constraint sessions_ended_by_check,
  add constraint sessions_ended_by_check check (ended_by in
    ('logout', 'logout_all', 'revoked', 'password_changed', 'disabled', 'replayed', 'evicted', 'expired'));

-- Work that one process does for all: whoever finds it due takes the turn by moving the date.
create table turns (
  name   text        not null constraint turns_pkey primary key,
  due_at timestamptz not null default clock_timestamp()
);
insert into turns (name) values ('sweep');

-- Programs that read the list of revocations sign in with an account of this role.
alter table users
  drop constraint users_role_check,
  add constraint users_role_check check (role in ('user', 'admin', 'service'));
