-- How often something was tried. Unlogged: after a crash of Postgres all start anew, and no try waits for the disk.

create unlogged table throttles (
  -- SHA-256 of what is limited: a network, an account, an account from a network.
  key     bytea       not null constraint throttles_pkey primary key,
  -- When all that was used has come back (the "theoretical arrival time" of the generic cell rate algorithm). A row whose
  -- time is past says nothing and is swept.
  full_at timestamptz not null
)
with (fillfactor = 70);
