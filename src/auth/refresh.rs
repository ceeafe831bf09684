//! Refresh: exchanges a refresh token for the session's current one and a new access token.

use super::events::tell;
use super::{Auth, Error, Tokens};
use crate::domain::event::{Event, Kind};
use crate::domain::refresh_token::SecretHash;
use crate::domain::session::Sender;
use crate::figures::{Counts, count, counts_of};
use crate::store::sessions::{self, Presented, Refreshed};

/// Verdicts besides [`Refreshed::VERDICTS`]: the token was never issued, or the database did not answer.
const INVALID: &str = "invalid";
const FAILED: &str = "failed";

/// A count of each.
pub(super) fn counts() -> Counts<1> {
    counts_of("verdict", &[&Refreshed::VERDICTS[..], &[INVALID, FAILED]].concat())
}

/// What a client gives for new tokens.
pub struct Refresh<'a> {
    /// The refresh token's text.
    pub refresh_token: &'a str,
    /// The `Idempotency-Key` header: whoever knows it may repeat this refresh until the successor is used.
    pub idempotency_key: Option<&'a [u8]>,
}

impl Auth {
    /// Rotates a session, at most once per grace window. A client that lost the answer gets the same successor again.
    ///
    /// # Errors
    /// [`Error::RefreshTokenInvalid`] (without asking the database, unless the token is genuine),
    /// [`Error::RefreshTokenReplayed`], [`Error::SessionEnded`], [`Error::SessionExpired`],
    /// [`Error::DatabaseUnavailable`].
    pub async fn refresh(&self, refresh: Refresh<'_>, sender: &Sender) -> Result<Tokens, Error> {
        let keys = self.keys.current();
        let token = keys.refresh_keys.parse(refresh.refresh_token);
        let known = token.and_then(|token| Some((keys.refresh_keys.successors(&token)?, token)));
        let Some((successors, token)) = known else {
            self.count(INVALID);
            return Err(Error::RefreshTokenInvalid);
        };
        let rotation_key = refresh.idempotency_key.map(SecretHash::of);
        let (mails, with_profile) = (self.mailing.is_some(), keys.access_tokens.need_profile());
        let presented = Presented { token: &token, successors: &successors, rotation_key, sender, mails, with_profile };
        let refreshed = sessions::refresh(&self.store, &presented, &self.sessions).await;
        self.count(refreshed.as_ref().map_or(FAILED, Refreshed::verdict));

        let (session, current) = match refreshed? {
            Refreshed::Rotated(session) => (session, Some(successors.newest())),
            Refreshed::Unchanged(session) => (session, Some(&token)),
            Refreshed::Repeated(session, hash) => {
                // A lost answer, or a quick thief: the address tells them apart.
                let ip_address = sender.ip_address.map(|address| address.to_string());
                tracing::info!(session_id = %session.id, ip_address, "refresh repeated");
                (session, successors.find(hash))
            }
            Refreshed::Replayed(ending) => {
                self.mails_queued();
                tell(&Event::of_session(Kind::RefreshTokenReplayed, token.user_id, token.session_id), sender);
                return Err(Error::RefreshTokenReplayed(ending));
            }
            Refreshed::Ended(ending) => return Err(Error::SessionEnded(ending)),
            Refreshed::Expired => return Err(Error::SessionExpired),
            Refreshed::Ahead => {
                let session_id = token.session_id;
                tracing::warn!(%session_id, "refresh token is newer than its session: the database was set back");
                return Err(Error::RefreshTokenInvalid);
            }
            Refreshed::Unknown => return Err(Error::RefreshTokenInvalid),
        };
        let current = current.ok_or_else(|| Error::internal("the row holds a successor of other keys"))?;
        keys.tokens(session, current)
    }

    fn count(&self, verdict: &'static str) {
        count(&self.counts.refreshes, "verdict", verdict);
    }
}
