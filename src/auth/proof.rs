//! What takes the password besides an access token: who has found an unlocked device has only the latter.

use super::hashing::{Comparison, Place};
use super::{Auth, Error};
use crate::domain::access_token::Claims;
use crate::domain::event::{Event, Kind};
use crate::domain::password::{Password, PasswordHash};
use crate::domain::session::Sender;
use crate::domain::throttle::{self, Limit, Trier};
use crate::store::sessions;
use crate::store::{self, Transaction, throttles, users};

/// A caller who has shown that the password is known.
pub(super) struct Proved<'a> {
    claims: &'a Claims,
    sender: &'a Sender,
    /// What is recorded when the password turns out to be another.
    refusal: Kind,
    password: Password,
    verified: PasswordHash,
    limits: Vec<Limit>,
    /// For more hashing.
    pub(super) place: Place,
}

/// What became of the work.
enum Acted<T> {
    /// It was done.
    Now(T),
    /// The caller's session ended, or the account was closed.
    NoLongerAllowed,
    /// The hash that was verified is no longer there.
    Meanwhile,
}

impl Auth {
    /// Verifies the caller's password. Tries are limited, for everything that takes it together; a wrong one is recorded as
    /// `refusal`.
    ///
    /// # Errors
    /// [`Error::InvalidCredentials`], [`Error::AccessTokenInvalid`] when the caller's session or account is not alive,
    /// [`Error::RateLimited`], [`Error::Overloaded`], [`Error::DatabaseUnavailable`].
    pub(super) async fn prove<'a>(
        &self,
        claims: &'a Claims,
        password: Password,
        refusal: Kind,
        sender: &'a Sender,
    ) -> Result<Proved<'a>, Error> {
        let place = self.hashing.queue(Trier::Device(claims.sid))?;
        let limits = throttle::of_password_proof(claims.sub, claims.sid);
        self.take(&limits, sender).await?;
        match self.verify(&place, claims, &password).await? {
            Some(verified) => Ok(Proved { claims, sender, refusal, password, verified, limits, place }),
            None => Err(self.refuse_proof(claims, refusal, sender).await),
        }
    }

    /// Does what takes the password, while the account is locked, the session alive and the password still the same.
    ///
    /// # Errors
    /// As [`Auth::prove`], and what `work` fails with.
    pub(super) async fn act<T>(
        &self,
        mut proved: Proved<'_>,
        work: impl AsyncFn(&Transaction<'_>) -> Result<T, store::Error>,
    ) -> Result<T, Error> {
        let claims = proved.claims;
        // A second time if the hash was replaced meanwhile: by a login that made it dearer, or by a change.
        for _ in 0..2 {
            let acting = self.store.transaction(async |transaction| {
                if !self.lock_live(transaction, claims).await? {
                    return Ok(Acted::NoLongerAllowed);
                }
                let stored = users::find_password_hash(transaction, claims.sub).await?;
                if stored.is_none_or(|stored| stored.as_stored() != proved.verified.as_stored()) {
                    return Ok(Acted::Meanwhile);
                }
                if self.throttling {
                    throttles::give_back(transaction, &proved.limits).await?;
                }
                work(transaction).await.map(Acted::Now)
            });
            match acting.await? {
                Acted::Now(done) => return Ok(done),
                Acted::NoLongerAllowed => return Err(Error::AccessTokenInvalid),
                Acted::Meanwhile => match self.verify(&proved.place, claims, &proved.password).await? {
                    Some(verified) => proved.verified = verified,
                    None => break,
                },
            }
        }
        Err(self.refuse_proof(claims, proved.refusal, proved.sender).await)
    }

    /// The stored hash, if it is that of the password.
    async fn verify(&self, place: &Place, claims: &Claims, password: &Password) -> Result<Option<PasswordHash>, Error> {
        let found = self.store.run(async |client| {
            let live = sessions::is_live(client, claims.sub, claims.sid, &self.sessions).await?;
            if live { users::find_password_hash(client, claims.sub).await } else { Ok(None) }
        });
        let stored = found.await?.ok_or(Error::AccessTokenInvalid)?;
        let compared = self.hashing.compare(place, password.clone(), Some(&stored)).await?;
        Ok((!matches!(compared, Comparison::Wrong)).then_some(stored))
    }

    async fn refuse_proof(&self, claims: &Claims, refusal: Kind, sender: &Sender) -> Error {
        let event = Event::of_session(refusal, claims.sub, claims.sid);
        self.record(event, sender).await.err().unwrap_or(Error::InvalidCredentials)
    }
}
