//! Who may ask about others: programs that were given the scope, and administrators.

use super::{Auth, Error};
use crate::domain::access_token::Refused;
use crate::domain::client::Scope;
use crate::domain::client_token::Bearer;
use crate::domain::user::Role;
use crate::store::{self, Statements, clients};

impl Auth {
    /// Whom a good access token was issued to, person or program. Asks nobody.
    ///
    /// # Errors
    /// [`Error::AccessTokenExpired`] or [`Error::AccessTokenInvalid`].
    pub fn authenticate_any(&self, access_token: &str) -> Result<Bearer, Error> {
        Ok(self.keys.current().access_tokens.verify_any(access_token)?)
    }

    /// Whether the bearer may do what `scope` allows, whatever the token has said since it was issued: the program must
    /// still be known, the administrator still be one and signed in.
    pub(super) async fn permit(
        &self,
        client: &impl Statements,
        bearer: &Bearer,
        scope: Scope,
    ) -> Result<Result<(), Error>, store::Error> {
        // What the token itself does not allow needs no question.
        let says_so = match bearer {
            Bearer::Program(claims) => claims.scope.contains(scope),
            Bearer::Person(claims) => claims.role == Role::Admin,
        };
        if !says_so {
            return Ok(Err(Error::InsufficientScope(scope)));
        }
        match bearer {
            Bearer::Program(claims) => Ok(match clients::find_scopes(client, claims.client_id).await? {
                Some(granted) if granted.contains(scope) => Ok(()),
                Some(_) => Err(Error::InsufficientScope(scope)),
                None => Err(Error::AccessTokenInvalid),
            }),
            Bearer::Person(claims) => Ok(match self.is_admitted(client, claims).await? {
                Err(Error::Forbidden) => Err(Error::InsufficientScope(scope)),
                admitted => admitted,
            }),
        }
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Expired => Self::AccessTokenExpired,
            Refused::Invalid => Self::AccessTokenInvalid,
        }
    }
}
