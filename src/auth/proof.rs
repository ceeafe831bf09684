//! Reauthentication: calls that take the password besides an access token, as an unlocked device has only the token.

use super::hashing::{Comparison, Flow, Permit, QueueSlot};
use super::throttle::holder;
use super::{Auth, Error};
use crate::domain::access_token::Claims;
use crate::domain::event::{Event, Kind};
use crate::domain::password::{Password, PasswordHash};
use crate::domain::session::Sender;
use crate::domain::throttle::{self, Limit};
use crate::store::sessions;
use crate::store::{self, Transaction, throttles, users};

/// A caller who gave the right password.
pub(super) struct Reauthenticated<'a> {
    claims: &'a Claims,
    password: Password,
    verified: PasswordHash,
    /// The limits that the try was taken from.
    pub(super) limits: Vec<Limit>,
    /// Bounds what one account does at once.
    _permit: Permit,
    /// For more hashing.
    pub(super) slot: QueueSlot,
}

/// What became of the work.
enum Acted<T> {
    /// It was done.
    Now(T),
    /// The caller's session ended, or the account was closed.
    NoLongerAllowed,
    /// The hash that was verified is no longer there.
    Replaced,
}

/// How often a password is compared at most: each time after the first, another request has just replaced the hash.
const MOST_COMPARISONS: usize = 4;

impl Auth {
    /// Verifies the caller's password. Tries are limited, for everything that takes it together; a wrong one is recorded as
    /// `refusal`.
    ///
    /// # Errors
    /// [`Error::InvalidCredentials`], [`Error::AccessTokenInvalid`] when the caller's session or account is not alive,
    /// [`Error::RateLimited`], [`Error::Overloaded`], [`Error::DatabaseUnavailable`].
    pub(super) async fn reauthenticate<'a>(
        &self,
        claims: &'a Claims,
        password: Password,
        refusal: Kind,
        sender: &Sender,
    ) -> Result<Reauthenticated<'a>, Error> {
        let flow = Flow::Account(claims.sub);
        let limits = throttle::of_password_proof(claims.sub, claims.sid);
        let mut permit = self.hashing.accounts.admit(holder(flow, &limits))?;
        // As it is now: a password that is right when it comes is not wrong because it had to wait.
        let stored = self.live_hash(claims).await?;
        permit.wait().await?;
        let slot = self.take_slot(flow, &limits, sender).await?;
        let verified = self.verify(&slot, claims, &password, stored).await;
        let Some(verified) = self.unless_overloaded(verified, &limits).await? else {
            let event = Event::of_session(refusal, claims.sub, claims.sid);
            return Err(self.record(event, sender).await.err().unwrap_or(Error::InvalidCredentials));
        };
        Ok(Reauthenticated { claims, password, verified, limits, _permit: permit, slot })
    }

    /// Does what takes the password, while the account is locked, the session alive and the password still the same.
    ///
    /// # Errors
    /// [`Error::PasswordChangedMeanwhile`] when another request changed it after it was verified: that is no wrong password, so it
    /// is neither recorded nor counted as one; else as [`Auth::reauthenticate`], and what `work` fails with.
    pub(super) async fn act<T>(
        &self,
        caller: &mut Reauthenticated<'_>,
        work: impl AsyncFn(&Transaction<'_>) -> Result<T, store::Error>,
    ) -> Result<T, Error> {
        let claims = caller.claims;
        // Again if the hash was replaced meanwhile: by a login that made it dearer, or by a change.
        for _ in 0..MOST_COMPARISONS {
            let acting = self.store.transaction(async |transaction| {
                if !self.lock_live(transaction, claims).await? {
                    return Ok(Acted::NoLongerAllowed);
                }
                let stored = users::find_password_hash(transaction, claims.sub).await?;
                if stored.is_none_or(|stored| stored.as_stored() != caller.verified.as_stored()) {
                    return Ok(Acted::Replaced);
                }
                if self.throttling {
                    throttles::give_back(transaction, &caller.limits).await?;
                }
                work(transaction).await.map(Acted::Now)
            });
            match acting.await? {
                Acted::Now(done) => return Ok(done),
                Acted::NoLongerAllowed => return Err(Error::AccessTokenInvalid),
                Acted::Replaced => {
                    let stored = self.live_hash(claims).await?;
                    let verified = self.verify(&caller.slot, claims, &caller.password, stored).await;
                    match self.unless_overloaded(verified, &caller.limits).await? {
                        Some(verified) => caller.verified = verified,
                        None => break,
                    }
                }
            }
        }
        self.give_back_try(&caller.limits).await?;
        Err(Error::PasswordChangedMeanwhile)
    }

    /// Whether `password` is the account's now, after another request changed that; it then stands for the one that was given.
    ///
    /// # Errors
    /// As [`Auth::reauthenticate`].
    pub(super) async fn is_now(&self, caller: &mut Reauthenticated<'_>, password: Password) -> Result<bool, Error> {
        let stored = self.live_hash(caller.claims).await?;
        let verified = self.verify(&caller.slot, caller.claims, &password, stored).await?;
        let Some(verified) = verified else { return Ok(false) };
        (caller.password, caller.verified) = (password, verified);
        Ok(true)
    }

    /// The stored hash, or the one that has replaced it meanwhile, if it is that of the password.
    async fn verify(
        &self,
        slot: &QueueSlot,
        claims: &Claims,
        password: &Password,
        mut stored: PasswordHash,
    ) -> Result<Option<PasswordHash>, Error> {
        for _ in 0..MOST_COMPARISONS {
            let compared = self.hashing.compare(slot, password.clone(), Some(&stored)).await?;
            if !matches!(compared, Comparison::Wrong) {
                return Ok(Some(stored));
            }
            // A change that was committed during the comparison may have made it the right one.
            let now = self.live_hash(claims).await?;
            if now.as_stored() == stored.as_stored() {
                break;
            }
            stored = now;
        }
        Ok(None)
    }

    /// The stored hash of a caller whose session is alive and account open.
    async fn live_hash(&self, claims: &Claims) -> Result<PasswordHash, Error> {
        let found = self.store.run(async |client| {
            let live = sessions::is_live(client, claims.sub, claims.sid, &self.sessions).await?;
            if live { users::find_password_hash(client, claims.sub).await } else { Ok(None) }
        });
        found.await?.ok_or(Error::AccessTokenInvalid)
    }
}
