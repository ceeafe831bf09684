//! Nouns and rules: what an address, a password, a token is and when it is good.
//!
//! No I/O and no framework lives here, so that every rule can be tested by calling it.

pub mod access_token;
pub mod client;
pub mod client_token;
pub mod cookie_name;
pub mod email;
pub mod event;
pub mod field;
pub mod imported;
pub mod letter;
pub mod mail;
pub mod origin;
mod own_form;
pub mod password;
pub mod place;
pub mod profile;
pub mod profile_claims;
pub mod refresh_token;
pub mod repetition;
pub mod revocation;
pub mod secret;
pub mod secret_list;
pub mod session;
pub mod statistics;
pub mod throttle;
pub mod user;
pub mod user_filter;
pub mod verification;
