-- What a role needs that serves and does not migrate. Run as the owner of the tables.
grant select, insert, update, delete on users to $role;
grant select, insert, update, delete on addresses to $role;
grant select, insert, update, delete on deleted_users to $role;
grant select, insert, update, delete on sessions to $role;
-- Everybody may call them, unless an owner has taken that away from new functions.
grant execute on function refresh_verdict to $role;
grant execute on function refresh_one to $role;
grant execute on function refresh_batch to $role;
-- Reads and adds. Deletes only what is older than a week, by the policies of the table, and changes nothing.
grant select, insert, delete on events to $role;
grant select, update on turns to $role;
grant select, insert, update, delete on throttles to $role;
grant select, insert, update, delete on mails to $role;
grant select, insert, delete on verifications to $role;
-- Programs get their credentials on the command line, by the owner's role.
grant select, update (last_used_at) on clients to $role;
-- To know whether the schema is there.
grant select on refinery_schema_history to $role;
