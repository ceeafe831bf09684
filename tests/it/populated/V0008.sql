with made as (
  insert into users (id, email, password_hash) values
    ('00000000-0000-7000-8000-000000000006', 'fay@example.com', '{hmac-sha256}$2b$04$x') returning email, id
)
insert into addresses (email, user_id) select email, id from made;
