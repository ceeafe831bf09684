//! What is made and read of tokens for requests. `benches/micro` measures the same.

use std::time::Duration;

use claviger::domain::access_token::{AccessToken, AccessTokenPolicy, AccessTokens, Claims};
use claviger::domain::profile_claims::ProfileClaims;
use claviger::domain::refresh_token::{RefreshKeys, RefreshToken, RefreshTokenText, Successors};
use claviger::domain::secret::Secret;
use claviger::domain::session::LiveSession;
use claviger::domain::user::Role;
use time::OffsetDateTime;
use uuid::Uuid;

const ACCESS_SECRET: &str = "fWq3kPz7RtYx1VbN5mLc9HsD2gJ8aKeU4oXi6TvB0nE";
const REFRESH_SECRET: &str = "Zr8uYw2QmXc6TnV4bKp0LsJ7hGf3DdAe9RiOx5EtN1k";

/// An issuer with one key of each kind, as most are, and a session with its tokens.
pub(crate) struct Issuer {
    access_tokens: AccessTokens,
    refresh_keys: RefreshKeys,
    session: LiveSession,
    access_token: String,
    refresh_token: RefreshToken,
    refresh_token_text: String,
}

impl Issuer {
    pub(crate) fn new() -> Self {
        let policy = AccessTokenPolicy {
            issuer: "claviger".to_owned(),
            audience: "claviger".to_owned(),
            typ: "JWT".to_owned(),
            ttl: Duration::from_mins(10),
            profile_claims: ProfileClaims::default(),
        };
        let access_tokens = AccessTokens::new(policy, &secrets(ACCESS_SECRET)).expect("keys that work");
        let refresh_keys = RefreshKeys::derive(&secrets(REFRESH_SECRET)).expect("keys that work");
        let session = session();
        let access_token = access_tokens.issue(&session).expect("a token").text;
        let refresh_token = refresh_keys.first_token(session.user_id, session.id).expect("a token");
        let refresh_token_text = refresh_keys.encode(&refresh_token).expect("its text").into_string();
        Self { access_tokens, refresh_keys, session, access_token, refresh_token, refresh_token_text }
    }

    pub(crate) fn sign_access_token(&self) -> AccessToken {
        self.access_tokens.issue(&self.session).expect("a token")
    }

    pub(crate) fn verify_access_token(&self) -> Claims {
        self.access_tokens.verify(&self.access_token).expect("a good token")
    }

    pub(crate) fn parse_refresh_token(&self) -> RefreshToken {
        self.refresh_keys.parse(&self.refresh_token_text).expect("a good token")
    }

    pub(crate) fn successors_of_refresh_token(&self) -> Successors {
        self.refresh_keys.successors(&self.refresh_token).expect("not the last of all")
    }

    pub(crate) fn encode_refresh_token(&self) -> RefreshTokenText {
        self.refresh_keys.encode(&self.refresh_token).expect("its text")
    }
}

fn secrets(text: &str) -> Vec<Secret> {
    Secret::parse_list(text).expect("a secret")
}

fn session() -> LiveSession {
    let now = OffsetDateTime::now_utc();
    LiveSession {
        id: Uuid::now_v7(),
        user_id: Uuid::now_v7(),
        email: "ada@example.com".to_owned(),
        role: Role::User,
        created_at: now - Duration::from_mins(1),
        ends_at: now + Duration::from_hours(24),
        now,
        profile: None,
    }
}
