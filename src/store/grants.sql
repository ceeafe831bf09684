-- What a role needs that serves and does not migrate. Run as the owner of the tables.
grant select, insert, update on users to $role;
grant select, insert, update, delete on sessions to $role;
-- Reads and adds. Deletes only what is older than a week, by the policies of the table, and changes nothing.
grant select, insert, delete on events to $role;
grant select, update on turns to $role;
grant select, insert, update, delete on throttles to $role;
-- To know whether the schema is there.
grant select on refinery_schema_history to $role;
