#!/bin/sh
# Runs once, when the data folder is new: a role that owns the tables, and one that serves, with the rights that `claviger migrate
# --grant` gives it and no others.
psql --username "${POSTGRES_USER:-postgres}" --no-password --no-psqlrc --set ON_ERROR_STOP=1 <<'SQL'
\set owner `cat /secrets/owner_password`
\set serving `cat /secrets/serving_password`
create role claviger_owner login password :'owner';
create role claviger_serving login password :'serving';
-- The pooler lets nobody set it with the connection.
alter role claviger_serving set statement_timeout = '3s';
create database claviger owner claviger_owner;
revoke all on database claviger from public;
grant connect on database claviger to claviger_serving;
SQL
