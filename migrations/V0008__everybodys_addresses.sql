-- Everybody who was there before the step before. Whoever comes or goes meanwhile is seen to by the triggers. The locks are
-- weak: only a user who is about to be deleted, or to get another address, waits for the end of this, as such a change between
-- reading here and committing would leave an address to somebody who has it no more.

insert into addresses select email, id from users for key share on conflict do nothing;

-- Now it is complete. Not to be begun anew for somebody who registers at this moment.
set local lock_timeout = '2s';
alter table addresses rename column user_id_of_some to user_id;
