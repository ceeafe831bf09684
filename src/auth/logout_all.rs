//! Logout everywhere.

use super::events::tell_ended;
use super::{Auth, Error};
use crate::domain::access_token::Claims;
use crate::domain::session::{EndedBy, Sender};
use crate::store::sessions::{self, Ending};

impl Auth {
    /// Ends all sessions of the caller, or all but the one that the access token belongs to, and says how many there
    /// were. Once this has answered, no refresh that was under way brings one back.
    ///
    /// # Errors
    /// [`Error::AccessTokenInvalid`] when the caller's own session has ended, [`Error::DatabaseUnavailable`].
    pub async fn logout_all(&self, claims: &Claims, keep_current: bool, sender: &Sender) -> Result<usize, Error> {
        let kept = keep_current.then_some(claims.sid);
        let ending = self.store.transaction(async |transaction| {
            if !self.lock_live(transaction, claims).await? {
                return Ok(None);
            }
            let ending = Ending { user_id: claims.sub, ended_by: EndedBy::LogoutAll, sender };
            sessions::end_all(transaction, kept, ending, &self.sessions).await.map(Some)
        });
        let ended = ending.await?.ok_or(Error::AccessTokenInvalid)?;
        tell_ended(EndedBy::LogoutAll, claims.sub, &ended, sender);
        Ok(ended.len())
    }
}
