//! Looking users up, for programs and administrators.

use uuid::Uuid;

use super::{Auth, Error};
use crate::domain::client::Scope;
use crate::domain::client_token::Bearer;
use crate::domain::email::Email;
use crate::domain::user::User;
use crate::store::users;

/// Which user.
#[derive(Debug, Clone)]
pub enum Wanted {
    /// The one of that id.
    Id(Uuid),
    /// The one of that address.
    Email(Email),
}

impl Auth {
    /// A user as it is now, disabled or not.
    ///
    /// # Errors
    /// [`Error::InsufficientScope`], [`Error::AccessTokenInvalid`] for a program that was removed and an administrator who
    /// is signed out, [`Error::NotFound`], [`Error::DatabaseUnavailable`].
    pub async fn look_up(&self, bearer: &Bearer, wanted: &Wanted) -> Result<User, Error> {
        let looking_up = self.store.run(async |client| {
            // No transaction: what the first statement has found is no less true for the second without one.
            if let Err(refused) = self.permit(client, bearer, Scope::UsersRead).await? {
                return Ok(Err(refused));
            }
            let found = match wanted {
                Wanted::Id(id) => users::find(client, *id).await?,
                Wanted::Email(email) => users::find_by_email(client, email.as_str()).await?,
            };
            Ok(found.ok_or(Error::NotFound))
        });
        looking_up.await?
    }
}
