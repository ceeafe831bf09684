//! Client credentials for a token (RFC 6749 section 4.4): how a program begins.

use uuid::Uuid;

use super::admission::Lane;
use super::throttle::counted;
use super::{Auth, Error};
use crate::domain::access_token::AccessToken;
use crate::domain::client::{ClientSecret, Scopes};
use crate::domain::refresh_token::SecretHash;
use crate::domain::session::Sender;
use crate::store::clients;

/// What a program gives for a token.
pub struct ClientLogin {
    /// Its id.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
    /// What the token is to allow, with spaces between; all that the program may do if nothing is said.
    pub scope: Option<String>,
}

/// A token of a program.
#[derive(Debug)]
pub struct ClientToken {
    /// Opens what the scopes allow.
    pub access_token: AccessToken,
    /// What it allows.
    pub scopes: Scopes,
}

impl Auth {
    /// A token for a program that knows its secret.
    ///
    /// Tries are not limited, as secrets of 256 random bits are not guessed; but whoever tries waits in a
    /// line, which no others fill, and what never was a secret or an id is refused without asking the database.
    ///
    /// # Errors
    /// [`Error::InvalidClient`], the same for an unknown program and a wrong secret, after the same work;
    /// [`Error::InvalidScope`] for a scope that the program has not, [`Error::Overloaded`], [`Error::DatabaseUnavailable`].
    pub async fn client_token(&self, login: ClientLogin, sender: &Sender) -> Result<ClientToken, Error> {
        let id = Uuid::try_parse(&login.client_id).map_err(|_no_id| Error::InvalidClient)?;
        let secret = ClientSecret::parse(&login.client_secret).ok_or(Error::InvalidClient)?;
        let asking = self.admission.pass(counted(sender), Lane::Programs).await?;
        let finding = self.store.run(async |client| clients::find_credentials(client, id, secret.hash()).await);
        let (found, now) = finding.await?;
        drop(asking);

        let (stored, granted) = found.map_or((NOBODYS, None), |found| (found.secret_hash, Some(found.scopes)));
        let matches = secret.matches(&stored);
        let granted = granted.filter(|_| matches).ok_or(Error::InvalidClient)?;
        let scopes = match login.scope {
            None => granted,
            Some(asked) => Scopes::parse(&asked).filter(|asked| granted.cover(asked)).ok_or(Error::InvalidScope)?,
        };
        let issued = self.keys.current().access_tokens.issue_to_client(id, scopes.clone(), now);
        Ok(ClientToken { access_token: issued.map_err(Error::internal)?, scopes })
    }
}

/// What the secret of an unknown program is compared with. No secret has this hash that anybody could find.
const NOBODYS: SecretHash = SecretHash([0; 32]);
