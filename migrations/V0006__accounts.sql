-- What accounts need around signing in: programs that look users up, mail, imports, deletion, administration.

-- Programs that call with credentials of their own (RFC 6749 section 4.4).
create table clients (
  id           uuid        not null constraint clients_pkey primary key,
  name         text        not null constraint clients_name_key unique,
  -- SHA-256 of a secret of 32 random bytes. Nothing here can be presented as one.
  secret_hash  bytea       not null constraint clients_secret_hash_check check (octet_length(secret_hash) = 32),
  scopes       text[]      not null,
  created_at   timestamptz not null default clock_timestamp(),
  last_used_at timestamptz
);

-- Mail that is to be sent; a row goes when the mail server has taken it. It holds no secret: tokens are made when the mail
-- is, so that a copy of this table opens nothing and a token's time runs from its mail.
create table mails (
  id         uuid        not null constraint mails_pkey primary key,
  kind       text        not null constraint mails_kind_check check (kind in
               ('verify_email', 'reset_password', 'change_email', 'email_changed', 'password_changed', 'session_replayed',
                'account_deleted')),
  -- As somebody gave it: for verifying and resetting there may be no such account, and then nothing is sent.
  recipient  text        not null,
  -- Whose account; null where only the recipient says that. No foreign key, as the last mail outlives the account.
  user_id    uuid,
  -- What the mail tells besides.
  details    jsonb       not null default '{}',
  created_at timestamptz not null default clock_timestamp(),
  -- When to try next. Whoever tries moves it forward first, so that of several processes one does.
  due_at     timestamptz not null default clock_timestamp(),
  attempts   integer     not null default 0
);
create index mails_due_at_idx on mails (due_at);

-- What a mailed token allows, once and for a short time. The row goes when the token is used.
create table verifications (
  user_id     uuid        not null constraint verifications_user_id_fkey references users (id) on delete cascade,
  -- SHA-256 of the token's secret.
  secret_hash bytea       not null constraint verifications_secret_hash_check check (octet_length(secret_hash) = 32),
  purpose     text        not null constraint verifications_purpose_check check (purpose in
                ('verify_email', 'reset_password', 'change_email')),
  -- The address it was mailed to.
  email       text        not null,
  created_at  timestamptz not null default clock_timestamp(),
  expires_at  timestamptz not null,
  constraint verifications_pkey primary key (user_id, secret_hash)
);
create index verifications_expires_at_idx on verifications (expires_at);

-- Accounts that are no more, for as long as access tokens of theirs may live: with the account go the rows that told of its
-- end. Nothing is kept but an id that means nothing any more.
create table deleted_users (
  id         uuid        not null constraint deleted_users_pkey primary key,
  deleted_at timestamptz not null default clock_timestamp()
);
create index deleted_users_deleted_at_idx on deleted_users (deleted_at, id);

alter table events
  -- Who did it, where that was neither the account's owner nor an operator on the command line: an administrator.
  add column actor_id uuid,
  drop constraint events_kind_check,
  add constraint events_kind_check check (kind in
    ('registered', 'logged_in', 'login_failed', 'session_ended', 'refresh_token_replayed', 'password_changed',
     'password_change_failed', 'account_disabled', 'account_enabled', 'role_changed',
     'account_added', 'account_imported', 'account_deleted', 'account_deletion_failed', 'email_verified',
     'email_change_requested', 'email_change_failed', 'email_changed', 'password_reset_requested', 'password_reset',
     'password_set', 'data_exported', 'client_added', 'client_removed'));

-- For lists of users, newest first, part by part.
create index users_created_at_idx on users (created_at, id);
