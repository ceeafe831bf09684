//! Verbs: what a caller can ask for, one use case a file. Each decides, acts in one statement or transaction, answers.
//!
//! Nothing here knows HTTP.

mod admin;
mod admission;
mod check;
mod client_token;
pub mod clients;
mod delete;
mod email_change;
mod email_verification;
mod events;
mod export;
pub mod hashing;
pub mod import;
mod keys;
mod large_answers;
mod login;
mod logout;
mod logout_all;
mod look_up;
mod mailing;
mod me;
pub mod operate;
mod password;
mod password_reset;
mod permission;
mod profile;
mod proof;
mod recognize;
mod refresh;
mod register;
mod revocations;
mod sessions;
pub mod statistics;
pub mod sweep;
mod throttle;

use std::sync::Arc;
use std::time::Duration;

use crate::domain::access_token::{AccessToken, Claims};
use crate::domain::client::Scope;
use crate::domain::field::FieldError;
use crate::domain::profile::ProfileSchema;
use crate::domain::refresh_token::{RefreshToken, RefreshTokenText};
use crate::domain::session::{Ending, LiveSession, SessionPolicy};
use crate::domain::user::User;
use crate::figures::{Counter, Counts, Figures};
use crate::store::{self, Store};
pub use admission::AdmissionLimiter;
pub use check::Gate;
pub use client_token::{ClientLogin, ClientToken};
pub use email_change::EmailChange;
pub use events::Trail;
pub use export::Export;
pub use hashing::Hashing;
pub use keys::{KeyRing, Keys};
pub use large_answers::{LargeAnswer, LargeAnswers};
pub use login::Login;
pub use look_up::Wanted;
pub use mailing::Mailing;
pub use password::PasswordChange;
pub use password_reset::PasswordReset;
pub use profile::ProfileChange;
pub use recognize::Recognized;
pub use refresh::Refresh;
pub use register::{Registered, Registration};
pub use revocations::RevocationList;

/// Everything the use cases need. Each thread that serves requests has one, with its part of the database's connections; all
/// else is the same for the whole process.
#[derive(Clone)]
pub struct Auth {
    /// The database.
    pub store: Store,
    /// The slow part of passwords.
    pub hashing: Arc<Hashing>,
    /// Makes and reads tokens.
    pub keys: Arc<KeyRing>,
    /// How long sessions live.
    pub sessions: SessionPolicy,
    /// How long events are kept.
    pub events_kept: Duration,
    /// Shortest password for a new account.
    pub password_min_length: usize,
    /// What profiles may hold, if anything is asked of them.
    pub profile_schema: Option<Arc<ProfileSchema>>,
    /// What gateways are told of revoked tokens.
    pub gate: Arc<Gate>,
    /// Whether tries are limited.
    pub throttling: bool,
    /// Bounds the sign-ins that ask the database at once.
    pub admission: Arc<AdmissionLimiter>,
    /// The large answers that are being written.
    pub large_answers: LargeAnswers,
    /// That mail is sent; none where it is not.
    pub mailing: Option<Mailing>,
    /// What is counted of refreshes and tries.
    pub counts: Arc<Counters>,
}

/// What the use cases count.
pub struct Counters {
    refreshes: Counts<1>,
    throttled: Counter,
}

impl Default for Counters {
    fn default() -> Self {
        Self { refreshes: refresh::counts(), throttled: Counter::default() }
    }
}

/// What a client gets to keep a session going.
#[derive(Debug)]
pub struct Tokens {
    /// Opens APIs.
    pub access_token: AccessToken,
    /// Gets the next pair.
    pub refresh_token: RefreshTokenText,
    /// The session they belong to.
    pub session: LiveSession,
}

/// Somebody who just registered or logged in.
#[derive(Debug)]
pub struct SignedIn {
    /// Who.
    pub user: User,
    /// Their tokens.
    pub tokens: Tokens,
}

/// Why a call did not do what was asked. All but the last three are the caller's to mend.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Fields break rules.
    #[error("fields are invalid")]
    InvalidFields(Vec<FieldError>),
    /// The address and the password do not belong together.
    #[error("the address or the password is wrong")]
    InvalidCredentials,
    /// The password was right, but the account is closed.
    #[error("the account is disabled")]
    AccountDisabled,
    /// The password was right, but the address was never shown to reach its owner.
    #[error("the address is not verified")]
    EmailNotVerified,
    /// No mail is sent here.
    #[error("no mail is sent here")]
    NoMail,
    /// The caller's role does not open this.
    #[error("the role does not allow this")]
    Forbidden,
    /// An administrator wants to close, or step down from, the own account.
    #[error("administrators cannot do this to themselves")]
    NotOneself,
    /// The token's scopes, or its bearer's, do not allow this; this scope would.
    #[error("the scope {} is missing", .0.as_str())]
    InsufficientScope(Scope),
    /// No program has that id and that secret.
    #[error("the client's credentials are wrong")]
    InvalidClient,
    /// The program may not do what it wants a token for.
    #[error("the scope is not granted")]
    InvalidScope,
    /// There is no such thing, or it is somebody else's.
    #[error("there is no such thing")]
    NotFound,
    /// Somebody has registered that address.
    #[error("the address is taken")]
    EmailTaken,
    /// Nobody, or somebody no longer known, was issued this access token.
    #[error("the access token is invalid")]
    AccessTokenInvalid,
    /// The access token is over.
    #[error("the access token has expired")]
    AccessTokenExpired,
    /// This service did not issue the refresh token, or no longer knows it.
    #[error("the refresh token is invalid")]
    RefreshTokenInvalid,
    /// The refresh token was used before; its session has just been ended.
    #[error("the refresh token was replayed")]
    RefreshTokenReplayed(Ending),
    /// The session was ended earlier.
    #[error("the session has ended")]
    SessionEnded(Ending),
    /// The session is past its idle or absolute end.
    #[error("the session has expired")]
    SessionExpired,
    /// Too many tries; how long to wait for the next.
    #[error("too many tries")]
    RateLimited(Duration),
    /// Another request changed the password after the one that was given had been found right.
    #[error("the password was changed meanwhile")]
    PasswordChangedMeanwhile,
    /// Too many passwords are being hashed, or answers being written; how long to wait.
    #[error("too much is being done at once")]
    Overloaded(Duration),
    /// The database is away or busy.
    #[error(transparent)]
    DatabaseUnavailable(store::Error),
    /// A bug.
    #[error("internal error")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Unavailable(_) | store::Error::ReadOnly(_) | store::Error::NotSetUp(_) => {
                Self::DatabaseUnavailable(error)
            }
            store::Error::Bug(_) | store::Error::Taken(_) => Self::Internal(error.into()),
        }
    }
}

/// What was made for an address, unless that was taken: before, or at the same moment.
fn unless_taken<T>(made: Result<Option<T>, store::Error>) -> Result<T, Error> {
    match made {
        Ok(Some(made)) => Ok(made),
        Ok(None) | Err(store::Error::Taken(_)) => Err(Error::EmailTaken),
        Err(error) => Err(error.into()),
    }
}

impl Error {
    fn internal(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(cause.into())
    }
}

impl Auth {
    /// The same with another part of the database's connections, if it is one: those who share all of them wait in one line.
    #[must_use]
    pub fn on(&self, store: Store) -> Self {
        if store.has_pool_of(&self.store) {
            return self.clone();
        }
        let admission = Arc::new(self.admission.for_connections(store.most_connections()));
        Self { store, admission, ..self.clone() }
    }

    /// The claims of a good access token of a person. Asks nobody.
    ///
    /// # Errors
    /// [`Error::AccessTokenExpired`] or [`Error::AccessTokenInvalid`].
    pub fn authenticate(&self, access_token: &str) -> Result<Claims, Error> {
        Ok(self.keys.current().access_tokens.verify(access_token)?)
    }

    /// Enters what is measured of the use cases, and of what they use.
    pub fn enter_figures(&self, figures: &mut Figures) {
        let Counters { refreshes, throttled } = &*self.counts;
        figures.enter("refresh", "Refreshes, by what the token was worth.", refreshes.clone());
        figures.enter("throttled", "Tries that the limits on guessing held back.", throttled.clone());
        self.hashing.enter_figures(figures);
        self.store.enter_figures(figures);
    }

    /// Whether requests can be served.
    ///
    /// # Errors
    /// [`Error::DatabaseUnavailable`] with the reason.
    pub async fn check_ready(&self) -> Result<(), Error> {
        self.store.check_ready().await?;
        Ok(())
    }
}

impl Keys {
    /// The texts a client gets for a live session, whose current refresh token is `refresh_token`.
    fn tokens(&self, session: LiveSession, refresh_token: &RefreshToken) -> Result<Tokens, Error> {
        let access_token = self.access_tokens.issue(&session).map_err(Error::internal)?;
        let refresh_token = self.refresh_keys.encode(refresh_token);
        let refresh_token = refresh_token.ok_or_else(|| Error::internal("a refresh token of other keys"))?;
        Ok(Tokens { access_token, refresh_token, session })
    }
}

/// A field that must be there.
fn given(text: Option<String>, field: &'static str) -> Result<String, FieldError> {
    text.filter(|text| !text.is_empty()).ok_or(FieldError::required(field))
}

/// Collects what is wrong with several fields, so that a form can show all of it at once.
fn checked<T>(result: Result<T, FieldError>, problems: &mut Vec<FieldError>) -> Option<T> {
    result.map_err(|problem| problems.push(problem)).ok()
}
