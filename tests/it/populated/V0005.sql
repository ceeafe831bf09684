insert into throttles (key, full_at) values (sha256('a'), now() + interval '1 minute');
