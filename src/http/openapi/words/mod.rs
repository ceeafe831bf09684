//! What the document says of calls that their handlers do not: a file for each group of calls, a function for each call, named
//! as its handler is.

pub(in crate::http) mod accounts;
pub(in crate::http) mod admin;
pub(in crate::http) mod gateways;
pub(in crate::http) mod mail;
pub(in crate::http) mod programs;
pub(in crate::http) mod service;
pub(in crate::http) mod sessions;

use super::Operation;
use super::tags::Tag;
use crate::http::error::Code;

/// What answers with long lists take: only so many are written at a time.
const OF_LARGE_ANSWERS: [Code; 2] = [Code::RateLimited, Code::Overloaded];
/// What checking a password of a person's own takes, besides an access token.
const OF_PROOFS: [Code; 4] =
    [Code::InvalidCredentials, Code::PasswordChangedMeanwhile, Code::RateLimited, Code::Overloaded];
