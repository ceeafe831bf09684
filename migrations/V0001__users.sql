-- People with an account. The application's own fields live in profile.

create table users (
  id                uuid        not null constraint users_pkey primary key,
  -- Normalised by the service (NFC, lower case, ASCII domain), so plain equality is enough.
  email             text        not null constraint users_email_key unique,
  -- "{scheme}hash", see docs/adr/0004-password-hashing.md.
  password_hash     text        not null,
  full_name         text,
  role              text        not null default 'user' constraint users_role_check check (role in ('user', 'admin')),
  profile           jsonb       not null default '{}' constraint users_profile_check check (jsonb_typeof(profile) = 'object'),
  email_verified_at timestamptz,
  disabled_at       timestamptz,
  created_at        timestamptz not null default clock_timestamp(),
  updated_at        timestamptz not null default clock_timestamp(),
  last_login_at     timestamptz
);
