-- It adds no rows.
select from refresh_session(gen_random_uuid(), gen_random_uuid(), 0, '', '', '{}', null, 1, 1, null, null, null, false, false);
