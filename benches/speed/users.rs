//! People with their tokens, as many as there are sessions in the table, and what they ask.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use claviger::domain::access_token::{AccessTokenPolicy, AccessTokens};
use claviger::domain::profile_claims::ProfileClaims;
use claviger::domain::refresh_token::{RefreshKeys, RefreshToken};
use claviger::domain::secret::Secret;
use claviger::domain::session::LiveSession;
use claviger::domain::user::Role;
use time::OffsetDateTime;
use uuid::Uuid;

use super::ground::{ACCESS_SECRET, ISSUER, PASSWORD, REFRESH_SECRET};
use super::http::{Answer, get, post};

/// Of one user.
const SESSIONS_EACH: u32 = 2;
/// As many access tokens as are made beforehand.
const BEARERS: u32 = 50_000;

/// What somebody may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Login,
    Register,
    Refresh,
    Me,
    Check,
    /// 90 of 100 are me, 8 refresh and 2 login.
    Mix,
    /// Of the bare server.
    Json,
    Verify,
}

/// Everybody, and the tokens that they hold.
pub(crate) struct Users {
    sessions: u32,
    /// Empty while it is being refreshed.
    refresh_tokens: RefCell<Vec<String>>,
    access_tokens: Vec<String>,
    random: Cell<u64>,
    registered: Cell<u32>,
}

/// A request, and who asks.
pub(crate) struct Request {
    pub(crate) bytes: Vec<u8>,
    call: Call,
    session: u32,
}

impl Users {
    /// Makes tokens for so many sessions, and shows each first one.
    pub(crate) fn new(sessions: u32, mut show: impl FnMut(&RefreshToken)) -> Self {
        let secrets = |text| Secret::parse_list(text).expect("the secrets are good");
        let keys = RefreshKeys::derive(&secrets(REFRESH_SECRET)).unwrap();
        let refresh_tokens = (0..sessions)
            .map(|session| {
                let token = keys.first_token(user_id(session / SESSIONS_EACH), session_id(session)).unwrap();
                show(&token);
                keys.encode(&token).expect("a key").into_string()
            })
            .collect();
        let policy = AccessTokenPolicy {
            issuer: ISSUER.into(),
            audience: ISSUER.into(),
            typ: "JWT".into(),
            ttl: Duration::from_hours(24),
            profile_claims: ProfileClaims::default(),
        };
        let issuer = AccessTokens::new(policy, &secrets(ACCESS_SECRET)).unwrap();
        let now = OffsetDateTime::now_utc();
        let bearers = (0..BEARERS.min(sessions)).map(|index| {
            let session = index * (sessions / BEARERS.min(sessions));
            let user = session / SESSIONS_EACH;
            let live = LiveSession {
                id: session_id(session),
                user_id: user_id(user),
                email: address(user),
                role: Role::User,
                created_at: now,
                ends_at: now + Duration::from_hours(24),
                now,
                profile: None,
            };
            issuer.issue(&live).unwrap().text
        });
        Self {
            sessions,
            refresh_tokens: RefCell::new(refresh_tokens),
            access_tokens: bearers.collect(),
            random: Cell::new(0x9e37_79b9_7f4a_7c15),
            registered: Cell::new(0),
        }
    }

    /// How many users there are at the start.
    pub(crate) fn number(sessions: u32) -> u32 {
        sessions.div_ceil(SESSIONS_EACH)
    }

    /// Somebody's next request.
    pub(crate) fn ask(&self, call: Call) -> Request {
        if call == Call::Mix {
            return self.ask(match self.below(100) {
                0..90 => Call::Me,
                90..98 => Call::Refresh,
                _ => Call::Login,
            });
        }
        let session = self.below(self.sessions);
        let bearer = &self.access_tokens[self.below(u32::try_from(self.access_tokens.len()).unwrap()) as usize];
        let bytes = match call {
            Call::Refresh => {
                let token = std::mem::take(&mut self.refresh_tokens.borrow_mut()[session as usize]);
                if token.is_empty() {
                    return self.ask(call);
                }
                post("/api/auth/refresh", session, &format!(r#"{{"refresh_token":"{token}"}}"#))
            }
            Call::Login => post("/api/auth/login", session, &credentials(&address(session / SESSIONS_EACH))),
            Call::Register => {
                let number = self.registered.replace(self.registered.get() + 1);
                post("/api/auth/register", session, &credentials(&format!("new{number}@example.org")))
            }
            Call::Me | Call::Mix => get("/api/auth/me", bearer),
            Call::Check => get("/api/auth/check", bearer),
            Call::Json => get("/json", bearer),
            Call::Verify => get("/verify", bearer),
        };
        Request { bytes, call, session }
    }

    /// Takes the answer, and what it says if it is not the expected one.
    pub(crate) fn take(&self, request: &Request, answer: &Answer<'_>) -> Result<(), String> {
        let expected = match request.call {
            Call::Register => 201,
            Call::Check | Call::Verify => 204,
            Call::Login | Call::Refresh | Call::Me | Call::Mix | Call::Json => 200,
        };
        if answer.status != expected {
            return Err(format!("{:?}: {} {}", request.call, answer.status, answer.text("code").unwrap_or_default()));
        }
        if request.call == Call::Refresh {
            let token = answer.text("refresh_token").ok_or("a refresh without a token")?;
            token.clone_into(&mut self.refresh_tokens.borrow_mut()[request.session as usize]);
        }
        Ok(())
    }

    /// xorshift64*: any requests will do, and always the same.
    fn below(&self, limit: u32) -> u32 {
        let mut state = self.random.get();
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        self.random.set(state);
        u32::try_from((u128::from(state.wrapping_mul(0x2545_f491_4f6c_dd1d)) * u128::from(limit)) >> 64).unwrap()
    }
}

/// Ids as in a table that has grown: in the order of time.
pub(crate) fn user_id(number: u32) -> Uuid {
    Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0000 + (u128::from(number) << 20))
}

fn session_id(number: u32) -> Uuid {
    Uuid::from_u128(0x0199_1000_0000_7000_8000_0000_0000_0000 + (u128::from(number) << 20))
}

/// The address of a user.
pub(crate) fn address(number: u32) -> String {
    format!("user{number}@example.org")
}

fn credentials(email: &str) -> String {
    format!(r#"{{"email":"{email}","password":"{PASSWORD}"}}"#)
}
