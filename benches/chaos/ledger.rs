//! What the service has confirmed to clients, and has to stand by.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use uuid::Uuid;

/// A session as its client holds it.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) email: String,
    pub(crate) user_id: Uuid,
    pub(crate) session_id: Uuid,
    pub(crate) generation: u32,
    pub(crate) access_token: String,
    pub(crate) refresh_token: String,
    /// Of the refresh that has no answer yet.
    pub(crate) key: Option<String>,
    /// When the request was sent that brought the tokens.
    pub(crate) asked: Instant,
    pub(crate) ended: Ended,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    No,
    /// A logout had no answer.
    Perhaps,
    Yes,
}

impl Held {
    /// Reads the tokens of an answer that signs in or refreshes, and checks them.
    ///
    /// # Errors
    /// What is wrong with the answer.
    pub(crate) fn read(body: &Value, email: &str, asked: Instant) -> Result<Self, &'static str> {
        let text = |name: &str| body[name].as_str().unwrap_or_default();
        let (access_token, refresh_token) = (text("access_token").to_owned(), text("refresh_token").to_owned());
        let session_id: Uuid = text("session_id").parse().map_err(|_malformed| "no session id")?;
        let (user_id, own_id, generation) = parts(&refresh_token).ok_or("no refresh token")?;
        let claims = claims(&access_token).ok_or("no access token")?;
        let is_same = |name: &str, id: Uuid| claims[name].as_str() == Some(&id.to_string());
        if own_id != session_id || !is_same("sid", session_id) || !is_same("sub", user_id) || claims["email"] != email {
            return Err("tokens of somebody else");
        }
        let shape = body["token_type"] == "Bearer"
            && body["expires_in"].as_u64().is_some_and(|seconds| (1..=600).contains(&seconds))
            && body["refresh_expires_in"].as_u64().is_some_and(|seconds| seconds > 0)
            && body["server_time"].is_string();
        if !shape {
            return Err("not the shape of an answer with tokens");
        }
        let email = email.to_owned();
        let (key, ended) = (None, Ended::No);
        Ok(Self { email, user_id, session_id, generation, access_token, refresh_token, key, asked, ended })
    }
}

/// User, session and generation, as docs/token-lifecycle.md lays them out.
fn parts(refresh_token: &str) -> Option<(Uuid, Uuid, u32)> {
    let bytes = URL_SAFE_NO_PAD.decode(refresh_token.strip_prefix("rt1_")?).ok().filter(|bytes| bytes.len() == 85)?;
    let id = |from: usize| Uuid::from_slice(&bytes[from..from + 16]).ok();
    Some((id(1)?, id(17)?, u32::from_be_bytes(bytes[33..37].try_into().ok()?)))
}

pub(crate) fn claims(access_token: &str) -> Option<Value> {
    let payload = URL_SAFE_NO_PAD.decode(access_token.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&payload).ok()
}

/// An account whose making was confirmed.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub(crate) email: String,
    pub(crate) asked: Instant,
}

/// All of it.
#[derive(Default)]
pub(crate) struct Ledger {
    sessions: Mutex<HashMap<Uuid, Held>>,
    accounts: Mutex<Vec<Made>>,
    /// The data were thrown away then: what was asked for before is void. While they are, that is in the future.
    forgotten: Mutex<Option<Instant>>,
}

impl Ledger {
    pub(crate) fn keep(&self, session: &Held) {
        self.sessions.lock().unwrap().insert(session.session_id, session.clone());
    }

    pub(crate) fn keep_account(&self, email: &str, asked: Instant) {
        self.accounts.lock().unwrap().push(Made { email: email.to_owned(), asked });
    }

    pub(crate) fn forget_until(&self, moment: Instant) {
        *self.forgotten.lock().unwrap() = Some(moment);
    }

    /// Whether what was asked for then is void.
    pub(crate) fn is_void(&self, asked: Instant) -> bool {
        self.forgotten.lock().unwrap().is_some_and(|forgotten| asked <= forgotten)
    }

    pub(crate) fn sessions(&self) -> Vec<Held> {
        self.sessions.lock().unwrap().values().cloned().collect()
    }

    pub(crate) fn accounts(&self) -> Vec<Made> {
        self.accounts.lock().unwrap().clone()
    }
}
