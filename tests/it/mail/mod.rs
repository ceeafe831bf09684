//! Mail: what is sent when, over real connections to a mail server, and what the tokens in it allow.

mod addresses;
mod outbox;
mod reset;
mod sending;

use serde_json::json;

use crate::support::{Anonymous, Answer, MailServer, TestApp, TestDatabase, Tls};

/// The settings of a service that sends by this server.
fn settings(server: &MailServer) -> Vec<(&'static str, String)> {
    let scheme = if server.tls() == Tls::Implicit { "smtps" } else { "smtp" };
    let option = if server.tls() == Tls::Later { "?tls=required" } else { "" };
    let mut settings = vec![
        ("SMTP_URL", format!("{scheme}://localhost:{}{option}", server.port)),
        ("CLAVIGER__MAIL__FROM", "Shop <shop@example.com>".to_owned()),
        ("CLAVIGER__MAIL__VERIFY_LINK", "https://app.example.com/verify?token={token}".to_owned()),
        ("CLAVIGER__MAIL__RESET_LINK", "https://app.example.com/reset?token={token}".to_owned()),
    ];
    if server.tls() != Tls::None {
        settings.push(("CLAVIGER__MAIL__CA_FILE", server.ca_file().to_owned()));
    }
    settings
}

pub(crate) async fn start_with(server: &MailServer, more: &[(&str, &str)]) -> TestApp {
    let settings = settings(server);
    let settings: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    TestApp::start_with(&[&settings, more].concat()).await
}

/// A service on a database of the test's own, whose housekeeping waits.
pub(crate) async fn start_on(database: TestDatabase, server: &MailServer) -> TestApp {
    let settings = settings(server);
    let settings: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    TestApp::on(database, &[&settings[..], &[("CLAVIGER__SESSIONS__SWEEP_EVERY", "0s")]].concat()).await
}

/// A service that sends mail, and the server it sends by.
pub(crate) async fn start() -> (TestApp, MailServer) {
    let server = MailServer::start(Tls::None).await;
    (start_with(&server, &[]).await, server)
}

pub(crate) async fn ask_for_reset(caller: &Anonymous, email: &str) {
    let answer = caller.post("/api/auth/password-reset", json!({ "email": email })).await;
    assert_eq!(answer.status, 202, "{answer:?}");
}

pub(crate) async fn reset(caller: &Anonymous, token: &str, new_password: &str) -> Answer {
    caller.post("/api/auth/password-reset/confirm", json!({"token": token, "new_password": new_password})).await
}

async fn confirm(caller: &Anonymous, token: &str) -> Answer {
    caller.post("/api/auth/email-verification/confirm", json!({ "token": token })).await
}
