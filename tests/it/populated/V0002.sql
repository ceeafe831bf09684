insert into sessions (user_id, id, secret_hash, rotated_at, created_at, expires_at) values
  ('00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-00000000000a', sha256('a'), now(), now(),
   now() + interval '30 days');
insert into sessions (user_id, id, generation, secret_hash, rotated_at, rotation_key, created_at, expires_at, ended_at,
                      ended_by, ended_ip_address, user_agent, ip_address, label) values
  ('00000000-0000-7000-8000-000000000003', '00000000-0000-7000-8000-00000000000b', 4294967295, sha256('b'), now(),
   sha256('k'), now(), now(), now(), 'replayed', '::1', 'Phone/1.0', '192.0.2.1', 'Eve''s phone');
