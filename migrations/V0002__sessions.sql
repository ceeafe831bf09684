-- One row for each login, for its whole life. A refresh rotates it in place.

create table sessions (
  user_id          uuid        not null constraint sessions_user_id_fkey references users (id) on delete cascade,
  id               uuid        not null,
  -- How many rotations there were. Tokens carry 32 unsigned bits, hence not integer.
  generation       bigint      not null default 0 constraint sessions_generation_check check (generation >= 0),
  -- SHA-256 of the current token's secret. Nothing here can be presented as a token.
  secret_hash      bytea       not null constraint sessions_secret_hash_check check (octet_length(secret_hash) = 32),
  rotated_at       timestamptz not null,
  -- SHA-256 of the Idempotency-Key of the last rotation: whoever knows it may repeat that rotation.
  rotation_key     bytea       constraint sessions_rotation_key_check check (octet_length(rotation_key) = 32),
  created_at       timestamptz not null,
  -- The absolute end, fixed at login.
  expires_at       timestamptz not null,
  ended_at         timestamptz,
  ended_by         text        constraint sessions_ended_by_check check (ended_by in
                     ('logout', 'logout_all', 'revoked', 'password_changed', 'disabled', 'replayed', 'evicted')),
  -- Who ended it: for a replay, whoever presented the old token.
  ended_ip_address inet,
  -- The device as last seen.
  user_agent       text,
  ip_address       inet,
  -- The device's name as its owner gave it.
  label            text,

  -- The user comes first: one index serves "this session" and "all of this user", and rows can be placed beside their
  -- user when tables are distributed.
  constraint sessions_pkey primary key (user_id, id),
  constraint sessions_ended_check check ((ended_at is null) = (ended_by is null))
)
-- Room in each page for the next version of its rows, so that a rotation touches no index (heap-only tuple). For the same
-- reason no other index may cover a column that a rotation changes.
with (fillfactor = 70);
