//! Login: a password for a session.

use std::time::Duration;

use uuid::Uuid;

use super::admission::Lane;
use super::events::tell;
use super::hashing::{Comparison, Hashing};
use super::throttle::{counted, holder};
use super::{Auth, Error, SignedIn, checked};
use crate::domain::email::Email;
use crate::domain::event::LoginFailure::{self, AccountDisabled, EmailNotVerified, InvalidCredentials};
use crate::domain::event::{Event, Kind};
use crate::domain::field::FieldError;
use crate::domain::password::{Password, PasswordHash};
use crate::domain::refresh_token::RefreshToken;
use crate::domain::session::{EndedBy, Sender};
use crate::domain::throttle::{self, Limit, Trier};
use crate::domain::user::Line;
use crate::store::sessions::{self, Ending, NewSession};
use crate::store::throttles;
use crate::store::users::{self, Credentials, Visitor};

/// What somebody gives to sign in.
pub struct Login {
    /// The address.
    pub email: Option<String>,
    /// The password.
    pub password: Option<String>,
    /// The device's name.
    pub label: Option<String>,
    /// A refresh token that the device has, if any. With one of a live session of the account it is no stranger, and the new
    /// session takes the place of that one.
    pub refresh_token: Option<String>,
}

/// How often a password is compared at most: each time after the first, another request has just replaced the hash.
const MOST_COMPARISONS: usize = 4;
/// When to come back after that.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// What a session starts with.
struct Start<'a> {
    label: Option<&'a Line>,
    /// The token that the device presented. Its session ends, if it is the user's (ASVS 7.2.4).
    replaced: Option<&'a RefreshToken>,
    /// The tries to be given back.
    limits: &'a [Limit],
    sender: &'a Sender,
}

impl Auth {
    /// Starts a session for whoever knows the password.
    ///
    /// An unknown address, a wrong password and a closed account take the same work. That an account is closed, or its address
    /// not verified where it must be, is told only to who knows its password. Tries are limited by the address as it was given.
    ///
    /// # Errors
    /// [`Error::InvalidFields`], [`Error::RateLimited`], [`Error::InvalidCredentials`], [`Error::AccountDisabled`],
    /// [`Error::EmailNotVerified`],
    /// [`Error::Overloaded`], [`Error::DatabaseUnavailable`].
    pub async fn login(&self, login: Login, sender: &Sender) -> Result<SignedIn, Error> {
        let held = login.refresh_token.as_deref().and_then(|text| self.keys.current().refresh_keys.parse(text));
        let (email, password, label) = login.check()?;
        let address = counted(sender);
        let lane = if held.is_some() { Lane::Devices } else { Lane::Strangers };
        let asking = self.admission.pass(address, lane).await?;
        let visitor = Visitor { address, token: held.as_ref().map(|token| (token.session_id, token.generation)) };
        // What is no address is nobody's: it goes the same way as an unknown one.
        let email = Email::parse(&email).map_err(|_no_address| email);
        let mut found = self.find_credentials(&email, &visitor).await?;
        let trier = found.as_ref().map_or(Trier::Stranger(visitor.address), |found| found.trier);
        let limits = throttle::of_login(email.as_ref().map_or_else(String::as_str, Email::as_str), trier);
        let user_id = found.as_ref().map(|found| found.user_id);
        let flow = Hashing::flow(user_id, trier);
        let mut permit = self.hashing.accounts.admit(holder(flow, &limits))?;
        let asking = if permit.must_wait() {
            drop(asking);
            permit.wait().await?;
            self.admission.pass(address, lane).await?
        } else {
            asking
        };
        let slot = self.take_slot(flow, &limits, sender).await?;
        drop(asking);

        // Again if the hash was replaced meanwhile: by a login that made it dearer, or by a password change.
        for _ in 0..MOST_COMPARISONS {
            let stored = found.as_ref().map(|found| &found.password_hash);
            let compared = self.hashing.compare(&slot, password.clone(), stored).await;
            let rehashed = match self.unless_overloaded(compared, &limits).await? {
                Comparison::Wrong => return Err(self.refuse_login(user_id, InvalidCredentials, sender).await),
                Comparison::Right => None,
                Comparison::Weak(rehashed) => Some(rehashed),
            };
            let verified = found.ok_or(Error::InvalidCredentials)?;
            if verified.disabled {
                return Err(self.refuse_login(user_id, AccountDisabled, sender).await);
            }
            if self.requires_verified_email() && !verified.verified {
                return Err(self.refuse_login(user_id, EmailNotVerified, sender).await);
            }
            let session = Start { label: label.as_ref(), replaced: held.as_ref(), limits: &limits, sender };
            if let Some(signed_in) = self.start(&verified, rehashed.as_ref(), &session).await? {
                return Ok(signed_in);
            }
            found = self.find_credentials(&email, &visitor).await?;
        }
        // It was right each time, so it is not called wrong.
        self.unless_overloaded(Err(Error::Overloaded(RETRY_AFTER)), &limits).await
    }

    async fn find_credentials(
        &self,
        email: &Result<Email, String>,
        visitor: &Visitor,
    ) -> Result<Option<Credentials>, Error> {
        let find = async |client: &mut _| match email {
            Ok(email) => users::find_credentials(client, email, visitor, &self.sessions).await,
            Err(_no_address) => Ok(None),
        };
        Ok(self.store.run(find).await?)
    }

    /// Starts a session for a user whose password was verified; none if that is no longer the stored hash.
    async fn start(
        &self,
        verified: &Credentials,
        rehashed: Option<&PasswordHash>,
        start: &Start<'_>,
    ) -> Result<Option<SignedIn>, Error> {
        let Start { label, replaced, limits, sender } = *start;
        let keys = self.keys.current();
        let token = keys.refresh_keys.first_token(verified.user_id, Uuid::now_v7()).map_err(Error::internal)?;
        let session = NewSession { id: token.session_id, secret_hash: token.hash(), sender, label };
        let eviction = Ending { user_id: verified.user_id, ended_by: EndedBy::Evicted, sender };
        let started = self.store.attempt(async |transaction| {
            let policy = &self.sessions;
            let started = sessions::insert(transaction, verified, rehashed, &session, policy).await?;
            let Some(started) = started else { return Ok(Ok(None)) };
            let displaced = sessions::displace(transaction, session.id, replaced, eviction, policy).await?;
            // Only here, where the password is known to be right: failures of strangers use nothing up.
            let sign_ins = throttle::of_sign_ins(verified.user_id);
            if self.throttling
                && let Some(wait) = throttles::settle(transaction, limits, &sign_ins).await?
            {
                return Ok(Err(wait));
            }
            Ok(Ok(Some((started, displaced))))
        });
        let started = match started.await? {
            Ok(started) => started,
            Err(wait) => {
                self.give_back_try(limits).await?;
                return Err(self.held_back(wait, sender));
            }
        };
        let Some(((user, session), displaced)) = started else { return Ok(None) };
        tell(&Event::of_session(Kind::LoggedIn, user.id, session.id), sender);
        for (id, ended_by) in displaced {
            tell(&Event::of_session(Kind::SessionEnded(ended_by), user.id, id), sender);
        }
        Ok(Some(SignedIn { user, tokens: keys.tokens(session, &token)? }))
    }

    /// Records a login that opens nothing; the same work for every address, known or not.
    async fn refuse_login(&self, user_id: Option<Uuid>, failure: LoginFailure, sender: &Sender) -> Error {
        let event = Event { kind: Kind::LoginFailed(failure), user_id, session_id: None };
        match self.record(event, sender).await {
            Ok(()) => match failure {
                InvalidCredentials => Error::InvalidCredentials,
                AccountDisabled => Error::AccountDisabled,
                EmailNotVerified => Error::EmailNotVerified,
            },
            Err(error) => error,
        }
    }
}

impl Login {
    fn check(self) -> Result<(String, Password, Option<Line>), Error> {
        let mut problems = Vec::new();
        let mut given = |text: Option<String>, field| {
            checked(text.filter(|text| !text.is_empty()).ok_or(FieldError::required(field)), &mut problems)
        };
        let (email, password) = (given(self.email, "email"), given(self.password, "password"));
        let label = checked(Line::parse(self.label.as_deref().unwrap_or_default(), "label"), &mut problems);
        match (email, password, label) {
            (Some(email), Some(password), Some(label)) => Ok((email, Password::claimed(&password), label)),
            _ => Err(Error::InvalidFields(problems)),
        }
    }
}
