//! Logout: the end of one session, asked for with one of its own tokens.

use super::{Auth, Error};
use crate::domain::access_token::Claims;
use crate::domain::session::Device;
use crate::store::sessions;

impl Auth {
    /// Ends the session of a refresh token. A token that is dead, unknown or forged ends nothing and is no error: the
    /// caller is signed out all the same.
    ///
    /// # Errors
    /// [`Error::DatabaseUnavailable`]: the session may still be alive.
    pub async fn logout(&self, refresh_token: &str, device: &Device) -> Result<(), Error> {
        let Some(token) = self.refresh_keys.parse(refresh_token) else { return Ok(()) };
        Ok(self.store.run(async |client| sessions::end_by_token(client, &token, device).await).await?)
    }

    /// Ends the session that an access token belongs to.
    ///
    /// # Errors
    /// [`Error::DatabaseUnavailable`]: the session may still be alive.
    pub async fn logout_bearer(&self, claims: &Claims, device: &Device) -> Result<(), Error> {
        Ok(self.store.run(async |client| sessions::end(client, claims.sub, claims.sid, device).await).await?)
    }
}
