//! Me: the caller's own account.

use super::{Auth, Error};
use crate::domain::access_token::Claims;
use crate::domain::user::User;
use crate::store::users;

impl Auth {
    /// The caller's account as it is now, whatever the access token says it was.
    ///
    /// # Errors
    /// [`Error::AccessTokenInvalid`] when the account is gone or disabled, [`Error::DatabaseUnavailable`].
    pub async fn me(&self, claims: &Claims) -> Result<User, Error> {
        let user = users::find_batched(&self.store, claims.sub).await?;
        user.filter(|user| user.disabled_at.is_none()).ok_or(Error::AccessTokenInvalid)
    }
}
