-- As the program of the version before does it.
insert into users (id, email, password_hash) values
  ('00000000-0000-7000-8000-000000000004', 'cat@example.com', '{hmac-sha256}$2b$04$x'),
  ('00000000-0000-7000-8000-000000000005', 'dan@example.com', '{hmac-sha256}$2b$04$x');
update users set email = 'bert@example.com' where id = '00000000-0000-7000-8000-000000000002';
delete from users where id = '00000000-0000-7000-8000-000000000005';
