//! Programs with credentials of their own: an operator adds and removes them on the command line.

use uuid::Uuid;

use super::Error;
use super::events::tell;
use crate::domain::client::{Client, ClientSecret, Scopes};
use crate::domain::event::{Event, Kind};
use crate::domain::session::Sender;
use crate::domain::user::Line;
use crate::store::{Store, clients, events};

/// Credentials that were just made.
#[derive(Debug)]
pub struct NewClient {
    /// The program's id.
    pub id: Uuid,
    /// Its secret, which nobody can tell later.
    pub secret: ClientSecret,
}

/// Makes credentials; none if a program of that name has some.
///
/// # Errors
/// [`Error::DatabaseUnavailable`].
pub async fn add(store: &Store, name: &Line, scopes: &Scopes) -> Result<Option<NewClient>, Error> {
    let (id, secret) = (Uuid::now_v7(), ClientSecret::generate().map_err(Error::internal)?);
    let event = Event { kind: Kind::ClientAdded, user_id: Some(id), session_id: None };
    let adding = store.transaction(async |transaction| {
        let added = clients::insert(transaction, id, name, secret.hash(), scopes).await?;
        if added {
            events::insert(transaction, &event, &Sender::default()).await?;
        }
        Ok(added)
    });
    if !adding.await? {
        return Ok(None);
    }
    tell(&event, &Sender::default());
    Ok(Some(NewClient { id, secret }))
}

/// All programs, by name.
///
/// # Errors
/// [`Error::DatabaseUnavailable`].
pub async fn list(store: &Store) -> Result<Vec<Client>, Error> {
    Ok(store.run(async |client| clients::list(client).await).await?)
}

/// Forgets the program of that name and says which id it had; none if there is none. Its tokens open nothing here from then
/// on.
///
/// # Errors
/// [`Error::DatabaseUnavailable`].
pub async fn remove(store: &Store, name: &Line) -> Result<Option<Uuid>, Error> {
    let event = |id| Event { kind: Kind::ClientRemoved, user_id: Some(id), session_id: None };
    let removing = store.transaction(async |transaction| {
        let removed = clients::delete(transaction, name).await?;
        if let Some(id) = removed {
            events::insert(transaction, &event(id), &Sender::default()).await?;
        }
        Ok(removed)
    });
    let removed = removing.await?;
    if let Some(id) = removed {
        tell(&event(id), &Sender::default());
    }
    Ok(removed)
}
