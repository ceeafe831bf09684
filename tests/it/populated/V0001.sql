insert into users (id, email, password_hash) values
  ('00000000-0000-7000-8000-000000000001', 'ada@example.com', '{hmac-sha256}$2b$04$x'),
  ('00000000-0000-7000-8000-000000000002', 'bob@example.com', '{hmac-sha256}$2b$04$x');
insert into users (id, email, password_hash, full_name, role, profile, email_verified_at, disabled_at, last_login_at) values
  ('00000000-0000-7000-8000-000000000003', 'eve@example.com', '{hmac-sha256}$2b$04$x', 'Eve', 'admin', '{"a": 1}',
   now(), now(), now());
