insert into sessions (user_id, id, secret_hash, rotated_at, created_at, expires_at, ended_at, ended_by)
select id, gen_random_uuid(), sha256('x'), now(), now(), now() + interval '1 day', now(), 'replaced' from users limit 1;
