//! Me: the caller's own account.

use super::{Auth, Error};
use crate::domain::access_token::Claims;
use crate::domain::user::User;
use crate::store::users;

impl Auth {
    /// The caller's account as it is now, whatever the access token says it was.
    ///
    /// # Errors
    /// [`Error::AccessTokenInvalid`] when the caller's session or account is not alive, [`Error::DatabaseUnavailable`].
    pub async fn me(&self, claims: &Claims) -> Result<User, Error> {
        users::find_signed_in(&self.store, claims, &self.sessions).await?.ok_or(Error::AccessTokenInvalid)
    }
}
