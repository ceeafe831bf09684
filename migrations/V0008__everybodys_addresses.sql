-- Everybody who was there before the step before. Whoever comes or goes meanwhile is seen to by the triggers. The locks are
-- weak: only a user who is about to be deleted, or to get another address, waits for the end of this, as such a change between
-- reading here and committing would leave an address to somebody who has it no more.

-- Not to be begun anew for somebody who is in the way for a moment; who comes behind waits no longer than requests can.
set local lock_timeout = '2s';

insert into addresses select email, id from users for key share on conflict do nothing;

-- Now it is complete.
alter table addresses rename column user_id_of_some to user_id;
