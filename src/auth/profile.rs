//! What describes the caller: a name, and the application's own fields.

use serde_json::{Value, json};

use super::{Auth, Error, checked};
use crate::domain::access_token::Claims;
use crate::domain::profile::{Change, Profile};
use crate::domain::user::{Line, User};
use crate::store::users;

/// What the caller wants to be changed.
pub struct ProfileChange {
    /// What to call the person.
    pub full_name: Change<String>,
    /// The application's own fields, to be merged into those that are there.
    pub profile: Change<Value>,
}

impl Auth {
    /// Changes what describes the caller, and gives the whole account.
    ///
    /// # Errors
    /// [`Error::InvalidFields`] when the outcome breaks a rule, [`Error::AccessTokenInvalid`] when the caller's session or
    /// account is not alive, [`Error::DatabaseUnavailable`].
    pub async fn change_profile(&self, claims: &Claims, change: ProfileChange) -> Result<User, Error> {
        let ProfileChange { full_name, profile } = change;
        let schema = self.profile_schema.as_deref();
        let changed = self.store.transaction(async |transaction| {
            // Others who change this user wait, so that none of them loses what another has just said.
            if !self.lock_live(transaction, claims).await? {
                return Ok(Err(Error::AccessTokenInvalid));
            }
            let Some(user) = users::find(transaction, claims.sub).await? else {
                return Ok(Err(Error::AccessTokenInvalid));
            };
            let mut problems = Vec::new();
            let profile = match profile {
                Change::None => Ok(None),
                Change::Removed => Profile::parse(json!({}), schema).map(Some),
                Change::To(patch) => Profile::changed(user.profile, patch, schema).map(Some),
            };
            let profile = profile.map_err(|mut broken| problems.append(&mut broken)).ok();
            let name = match full_name {
                Change::None => user.full_name,
                Change::Removed => None,
                Change::To(name) => Some(name),
            };
            let name = checked(Line::parse(&name.unwrap_or_default(), "full_name"), &mut problems);
            let (Some(profile), Some(name)) = (profile, name) else { return Ok(Err(Error::InvalidFields(problems))) };
            users::describe(transaction, claims.sub, name.as_ref(), profile).await.map(Ok)
        });
        changed.await?
    }
}
