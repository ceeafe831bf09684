update users set role = 'service' where id = '00000000-0000-7000-8000-000000000002';
update turns set due_at = now() + interval '1 hour';
