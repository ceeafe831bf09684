//! Somebody with an account who means no harm.

use std::io::Result;

use serde_json::json;

use super::http::{Answer, Line, get, post};
use super::server::PASSWORD;

/// A device that is signed in, and holds the newest token.
pub(crate) struct Person {
    pub(crate) line: Line,
    /// The device's network address.
    pub(crate) from: String,
    pub(crate) email: String,
    access_token: String,
    pub(crate) refresh_token: String,
}

impl Person {
    pub(crate) fn new(line: Line, from: String, email: String) -> Self {
        Self { line, from, email, access_token: String::new(), refresh_token: String::new() }
    }

    pub(crate) async fn register(&mut self) -> Result<Answer> {
        self.sign_in("/api/auth/register").await
    }

    pub(crate) async fn login(&mut self) -> Result<Answer> {
        self.sign_in("/api/auth/login").await
    }

    async fn sign_in(&mut self, path: &str) -> Result<Answer> {
        let account = json!({ "email": self.email, "password": PASSWORD });
        self.take_tokens(&post(path, &self.from, &account)).await
    }

    pub(crate) async fn refresh(&mut self) -> Result<Answer> {
        let body = json!({ "refresh_token": self.refresh_token });
        self.take_tokens(&post("/api/auth/refresh", &self.from, &body)).await
    }

    pub(crate) async fn me(&mut self) -> Result<Answer> {
        self.line.call(&get("/api/auth/me", &self.from, &self.access_token)).await
    }

    async fn take_tokens(&mut self, request: &[u8]) -> Result<Answer> {
        let answer = self.line.call(request).await?;
        if let (Some(access), Some(refresh)) = (answer.text("access_token"), answer.text("refresh_token")) {
            (self.access_token, self.refresh_token) = (access, refresh);
        }
        Ok(answer)
    }
}
