//! claviger

pub mod config;
pub mod domain;
