//! Programs with credentials of their own.

use claviger::auth::clients;
use claviger::domain::client::Scopes;
use claviger::domain::user::Line;
use reqwest::Method;

use super::{Anonymous, Answer, TestApp};

/// A program, with the credentials that its operator was shown.
pub(crate) struct Program {
    pub(crate) caller: Anonymous,
    pub(crate) id: String,
    pub(crate) secret: String,
}

impl TestApp {
    /// A new program that may do this.
    pub(crate) async fn program(&self, name: &str, scopes: &str) -> Program {
        let name = Line::parse(name, "name").unwrap().unwrap();
        let scopes = Scopes::known(scopes.split(' '));
        let added = clients::add(&self.database.owner(), &name, &scopes).await.unwrap().expect("the name is free");
        Program { caller: self.anonymous(), id: added.id.to_string(), secret: added.secret.reveal().to_owned() }
    }
}

impl Program {
    /// Asks for a token with its credentials in the header, and these parameters.
    pub(crate) async fn ask(&self, parameters: &[(&str, &str)]) -> Answer {
        let request = self.caller.request(Method::POST, "/api/auth/token");
        self.caller.send(request.basic_auth(&self.id, Some(&self.secret)).form(parameters)).await
    }

    /// The text of a token for all that it may do.
    pub(crate) async fn token(&self) -> String {
        let answer = self.ask(&[("grant_type", "client_credentials")]).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.text("access_token").to_owned()
    }

    /// A call with a token.
    pub(crate) async fn get(&self, path: &str, token: &str) -> Answer {
        self.caller.send(self.caller.request(Method::GET, path).bearer_auth(token)).await
    }
}
