-- Adds no rows; each function runs once.
select from refresh_one(gen_random_uuid(), gen_random_uuid(), 0, '', '', '{}', null, 1, 1, null, null, null, false, false, false);
select from refresh_batch('{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', 1, 1, false);
