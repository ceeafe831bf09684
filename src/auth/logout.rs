//! Logout: the end of one session, asked for with one of its own tokens.

use super::events::tell;
use super::{Auth, Error};
use crate::domain::access_token::Claims;
use crate::domain::event::{Event, Kind};
use crate::domain::session::{EndedBy, Sender};
use crate::store::sessions::{self, Ending};

const LOGOUT: Kind = Kind::SessionEnded(EndedBy::Logout);

impl Auth {
    /// Ends the session of a refresh token. A token that is dead, unknown or forged ends nothing and is no error: the
    /// caller is signed out all the same.
    ///
    /// # Errors
    /// [`Error::DatabaseUnavailable`]: the session may still be alive.
    pub async fn logout(&self, refresh_token: &str, sender: &Sender) -> Result<(), Error> {
        let Some(token) = self.keys.current().refresh_keys.parse(refresh_token) else { return Ok(()) };
        if self.store.run(async |client| sessions::end_by_token(client, &token, sender, &self.sessions).await).await? {
            tell(&Event::of_session(LOGOUT, token.user_id, token.session_id), sender);
        }
        Ok(())
    }

    /// Ends the session that an access token belongs to.
    ///
    /// # Errors
    /// [`Error::DatabaseUnavailable`]: the session may still be alive.
    pub async fn logout_bearer(&self, claims: &Claims, sender: &Sender) -> Result<(), Error> {
        let ending = Ending { user_id: claims.sub, ended_by: EndedBy::Logout, sender };
        if self.store.run(async |client| sessions::end(client, claims.sid, ending, &self.sessions).await).await? {
            tell(&Event::of_session(LOGOUT, claims.sub, claims.sid), sender);
        }
        Ok(())
    }
}
