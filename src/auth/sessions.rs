//! One's own sessions: seeing them, and ending one from another.

use uuid::Uuid;

use super::events::tell;
use super::{Auth, Error};
use crate::domain::access_token::Claims;
use crate::domain::event::{Event, Kind};
use crate::domain::session::{EndedBy, ListedSession, Sender};
use crate::store::sessions::{self, Ending};
use crate::store::{self, Transaction, users};

/// As many sessions that are over as anybody looks through. Programs that log in for each run leave thousands.
pub(super) const MOST_ENDED: i64 = 100;

impl Auth {
    /// The caller's sessions, live ones and those that ended lately, newest login first.
    ///
    /// # Errors
    /// [`Error::AccessTokenInvalid`] when the caller's session or account is not alive, [`Error::DatabaseUnavailable`].
    pub async fn sessions(&self, claims: &Claims) -> Result<Vec<ListedSession>, Error> {
        let listing = async |client: &mut _| sessions::list_own(client, claims, &self.sessions, MOST_ENDED).await;
        self.store.run(listing).await?.ok_or(Error::AccessTokenInvalid)
    }

    /// Whether the caller may manage the account: only while the own session is alive. Keeps whatever else shuts the user
    /// out waiting until the transaction ends, so that the answer stays true.
    pub(super) async fn lock_live(&self, transaction: &Transaction<'_>, claims: &Claims) -> Result<bool, store::Error> {
        // Two statements: the second sees what was committed while the first waited.
        users::lock(transaction, claims.sub).await?;
        sessions::is_live(transaction, claims.sub, claims.sid, &self.sessions).await
    }

    /// Ends one of the caller's sessions. One that has ended already stays as it is and is no error.
    ///
    /// # Errors
    /// [`Error::NotFound`] for an id that is not the caller's, [`Error::AccessTokenInvalid`] when the caller's own session
    /// has ended, [`Error::DatabaseUnavailable`].
    pub async fn end_session(&self, claims: &Claims, id: Uuid, sender: &Sender) -> Result<(), Error> {
        let ended_by = if id == claims.sid { EndedBy::Logout } else { EndedBy::Revoked };
        let ending = Ending { user_id: claims.sub, ended_by, sender };
        let outcome = self.store.transaction(async |transaction| {
            if !self.lock_live(transaction, claims).await? {
                return Ok(Err(Error::AccessTokenInvalid));
            }
            if !sessions::is_known(transaction, claims.sub, id).await? {
                return Ok(Err(Error::NotFound));
            }
            sessions::end(transaction, id, ending, &self.sessions).await.map(Ok)
        });
        if outcome.await?? {
            tell(&Event::of_session(Kind::SessionEnded(ended_by), claims.sub, id), sender);
        }
        Ok(())
    }
}
