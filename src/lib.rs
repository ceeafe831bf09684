//! claviger, a self-hosted authentication service: short-lived JWTs, rotating refresh tokens, Postgres.
//!
//! This page is the map. A request walks `http → auth → store`, and all three speak the words of `domain`; nothing
//! points back.

pub mod app;
pub mod auth;
pub mod config;
pub mod dev;
pub mod domain;
pub mod http;
pub mod secret_file;
pub mod store;
pub mod telemetry;
pub mod user_file;
