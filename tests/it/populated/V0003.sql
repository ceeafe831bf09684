insert into events (user_id, kind, outcome) values ('00000000-0000-0000-0000-000000000000', 'login_failed', 'failure');
insert into events (user_id, kind, outcome, reason, session_id, ip_address, user_agent, request_id) values
  ('00000000-0000-7000-8000-000000000003', 'refresh_token_replayed', 'failure', 'replayed',
   '00000000-0000-7000-8000-00000000000b', '::1', 'Phone/1.0', 'a-request');
