//! claviger, a self-hosted authentication service: short-lived JWTs, rotating refresh tokens, Postgres.
//!
//! This page is the map. A request walks `http → auth → store`, mail that it leaves behind goes `mail → store`, and all
//! speak the words of `domain`; nothing points back.

pub mod app;
pub mod auth;
pub mod config;
pub mod dev;
pub mod domain;
pub mod figures;
pub mod http;
pub mod mail;
pub mod secret_file;
pub mod store;
pub mod telemetry;
pub mod traces;
pub mod user_file;
