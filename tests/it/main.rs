//! One binary for all tests that need a database, a socket or a process, so that they share one private Postgres. Those that count
//! what a whole process does have theirs beside.
//!
//! `make test` runs them. With `TEST_DATABASE_URL` (a role that may create databases) they use that server instead.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::default_trait_access,
    clippy::format_collect,
    reason = "a test that panics has done its work, and its name is its documentation"
)]

mod support;

mod addresses;
mod api;
mod architecture;
mod backup;
mod batch;
mod browser;
mod citus;
mod client_address;
mod clock;
mod config;
mod conformance;
mod connections;
mod console;
mod deploy;
mod dev;
mod docs;
mod event_atomicity;
mod failover;
mod faults;
mod forgery;
mod gateways;
mod histories;
mod hostile;
mod import;
mod key_rotation;
mod large_answers;
mod mail;
mod malformed;
mod metrics;
mod migrations;
mod moving;
mod npm_clients;
mod openapi;
mod operators;
mod overload;
mod pool;
mod pooler;
mod processes;
mod races;
mod resource_server;
mod rotation;
mod serving_role;
mod spa;
mod statements;
mod stopping;
mod sweep;
mod tab_storm;
mod throttle;
mod tls;
mod traces;
mod upgrade;
mod verifier;
mod web_client;
