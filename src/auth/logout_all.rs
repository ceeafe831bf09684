//! Logout everywhere.

use super::{Auth, Error};
use crate::domain::access_token::Claims;
use crate::domain::session::EndedBy;
use crate::store::sessions;

impl Auth {
    /// Ends all sessions of the caller, or all but the one that the access token belongs to, and says how many were
    /// alive. Once this has answered, no refresh that was under way brings one back.
    ///
    /// # Errors
    /// [`Error::DatabaseUnavailable`].
    pub async fn logout_all(&self, claims: &Claims, keep_current: bool) -> Result<i64, Error> {
        let kept = keep_current.then_some(claims.sid);
        let ended = self.store.transaction(async |transaction| {
            sessions::end_all(transaction, claims.sub, kept, EndedBy::LogoutAll, Some(self.sessions.idle_ttl)).await
        });
        Ok(ended.await?)
    }
}
