insert into clients (id, name, secret_hash, scopes) values
  ('00000000-0000-7000-8000-0000000000c1', 'shop', sha256('c'), '{users:read}');
insert into mails (id, kind, recipient, user_id, details, attempts) values
  ('00000000-0000-7000-8000-0000000000d1', 'reset_password', 'nobody@example.com', null, '{}', 3);
insert into verifications (user_id, secret_hash, purpose, email, expires_at) values
  ('00000000-0000-7000-8000-000000000001', sha256('v'), 'verify_email', 'ada@example.com', now() + interval '1 day');
insert into deleted_users (id) values ('00000000-0000-7000-8000-0000000000e1');
