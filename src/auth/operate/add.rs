//! An operator makes an account.

use uuid::Uuid;

use crate::auth::events::tell;
use crate::auth::{Error, unless_taken};
use crate::domain::email::Email;
use crate::domain::event::{Event, Kind};
use crate::domain::password::PasswordHash;
use crate::domain::session::Sender;
use crate::domain::user::{Line, Role, User};
use crate::store::users::{self, AddedUser};
use crate::store::{Store, events};

/// An account to be made.
#[derive(Debug)]
pub struct NewAccount {
    /// The address.
    pub email: Email,
    /// Of the password.
    pub password_hash: PasswordHash,
    /// What to call the person.
    pub full_name: Option<Line>,
    /// What the person may do.
    pub role: Role,
    /// Whether the address is known to reach the person.
    pub verified: bool,
}

/// Makes an account, without a session.
///
/// # Errors
/// [`Error::EmailTaken`], [`Error::DatabaseUnavailable`].
pub async fn add(store: &Store, account: &NewAccount) -> Result<User, Error> {
    let sender = &Sender::default();
    let added = AddedUser {
        id: Uuid::now_v7(),
        email: &account.email,
        password_hash: &account.password_hash,
        full_name: account.full_name.as_ref(),
        role: account.role,
        verified: account.verified,
    };
    let event = Event::of_account(Kind::AccountAdded, added.id);
    let adding = store.transaction(async |transaction| {
        let user = users::insert(transaction, &added).await?;
        if user.is_some() {
            events::insert(transaction, &event, sender).await?;
        }
        Ok(user)
    });
    let user = unless_taken(adding.await)?;
    tell(&event, sender);
    Ok(user)
}
