//! The way to the mail server, and what a mail looks like.

use std::path::Path;

use super::{ask_for_reset, start, start_with};
use crate::support::{MailServer, PASSWORD, ServerProcess, TestApp, TestDatabase, Tls, wait_until};
use serde_json::json;

#[tokio::test]
async fn mail_goes_by_starttls() {
    let server = MailServer::start(Tls::Later).await;
    let app = start_with(&server, &[]).await;
    app.register("ada@example.com").await;
    let mail = server.mails_to("ada@example.com", 1).await.remove(0);
    assert!(mail.encrypted);
    assert_eq!(mail.from, "shop@example.com");
}

#[tokio::test]
async fn mail_goes_by_tls_from_the_first_byte_and_signs_in() {
    let server = MailServer::start(Tls::Implicit).await;
    let url = format!("smtps://ada:hunter2@localhost:{}", server.port);
    let app = start_with(&server, &[("SMTP_URL", &url)]).await;
    app.register("ada@example.com").await;
    let mail = server.mails_to("ada@example.com", 1).await.remove(0);
    assert!(mail.encrypted);
    assert_eq!(mail.user.as_deref(), Some("ada:hunter2"));
}

/// Starts a service that cannot send, has it queue a mail, and waits until it has tried in vain.
async fn try_in_vain(server: &MailServer, change: (&str, &str)) -> (ServerProcess, TestDatabase) {
    let database = TestDatabase::migrated().await;
    let settings = super::settings(server);
    let mut settings: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    settings.push(change);
    let process = ServerProcess::ready(&database.url, &settings).await;
    process.anonymous().register("ada@example.com").await;
    wait_until("it was tried in vain", async || {
        database.number("select coalesce(max(attempts), 0) from mails").await > 1
    })
    .await;
    assert_eq!(server.received().len(), 0);
    (process, database)
}

#[tokio::test]
async fn a_certificate_of_nobody_we_trust_is_refused_and_the_mail_kept() {
    for tls in [Tls::Later, Tls::Implicit] {
        let server = MailServer::start(tls).await;
        let (process, database) = try_in_vain(&server, ("CLAVIGER__MAIL__CA_FILE", "")).await;
        assert_eq!(database.number("select count(*) from mails").await, 1);
        assert!(process.log().contains("UnknownIssuer"), "{}", process.log());
    }
}

#[tokio::test]
async fn without_starttls_nothing_is_sent_where_tls_is_required() {
    let server = MailServer::start(Tls::None).await;
    let url = format!("smtp://localhost:{}?tls=required", server.port);
    let (process, database) = try_in_vain(&server, ("SMTP_URL", &url)).await;
    assert_eq!(database.number("select count(*) from mails").await, 1);
    assert!(process.log().contains("STARTTLS is not supported"), "{}", process.log());
}

#[tokio::test]
async fn a_wrong_password_of_ours_keeps_the_mail_and_is_in_no_log() {
    let server = MailServer::start(Tls::Later).await;
    let url = format!("smtp://ada:wr0ng-password@localhost:{}?tls=required", server.port);
    let (process, database) = try_in_vain(&server, ("SMTP_URL", &url)).await;
    assert_eq!(database.number("select count(*) from mails").await, 1);
    assert!(process.log().contains("535"), "{}", process.log());
    assert!(!process.log().contains("wr0ng-password"), "{}", process.log());
}

#[tokio::test]
async fn a_name_adds_no_header_and_no_html() {
    let (app, server) = start().await;
    let name = "Ada <img src=https://evil.example/>, Bcc: eve@example.com";
    let account = json!({"email": "ada@example.com", "password": PASSWORD, "full_name": name});
    assert_eq!(app.anonymous().post("/api/auth/register", account).await.status, 201);
    let first = server.mails_to("ada@example.com", 1).await.remove(0);
    assert!(!first.text.contains("evil.example"), "a stranger's words are not sent on: {}", first.text);

    app.database.execute("update users set email_verified_at = now()").await;
    ask_for_reset(&app.anonymous(), "ada@example.com").await;
    let mail = server.mail_about("ada@example.com", "Set a new password").await;
    assert!(mail.text.contains("Hello Ada <img src=https://evil.example/>"), "as text it may be: {}", mail.text);
    assert!(mail.text.contains("Hello Ada &lt;img src"), "in HTML it is escaped: {}", mail.text);
    assert_eq!(mail.text.matches("<img").count(), 1, "{}", mail.text);
    let head = mail.text.split("\n\n").next().unwrap();
    assert!(!head.contains("Bcc") && !head.contains("eve@"), "{head}");
    assert_eq!(mail.to, "ada@example.com");
    assert_eq!(server.mails_to("eve@example.com", 0).await.len(), 0);
}

#[tokio::test]
async fn a_mail_says_what_programs_need_to_know() {
    let (app, server) = start().await;
    app.register("ada@example.com").await;
    let mail = server.mails_to("ada@example.com", 1).await.remove(0);
    assert_eq!(mail.header("Subject"), "Please confirm your e-mail address");
    assert_eq!(mail.header("From"), "Shop <shop@example.com>");
    assert_eq!(mail.header("To"), "ada@example.com");
    assert_eq!(mail.header("Auto-Submitted"), "auto-generated");
    assert!(mail.header("Message-ID").ends_with("@example.com>") && !mail.header("Date").is_empty(), "{}", mail.text);
    assert!(mail.text.contains("text/plain; charset=utf-8") && mail.text.contains("text/html; charset=utf-8"));
    assert!(mail.text.contains("https://app.example.com/verify?token="), "{}", mail.text);
    assert!(mail.text.contains("good for 1 day"), "{}", mail.text);
}

#[tokio::test]
async fn an_address_of_every_script_is_reached() {
    let (app, server) = start().await;
    app.register("jörg@bücher.example").await;
    assert_eq!(server.mails_to("jörg@xn--bcher-kva.example", 1).await.len(), 1);
}

#[tokio::test]
async fn templates_of_ones_own_replace_the_built_in_ones() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("verify_email.txt"), "Subject: Willkommen\n\nBitte {{ link }} öffnen.\n")
        .unwrap();
    let server = MailServer::start(Tls::None).await;
    let templates = folder.path().to_str().unwrap();
    let app = start_with(&server, &[("CLAVIGER__MAIL__TEMPLATES", templates)]).await;
    app.register("ada@example.com").await;
    let mail = server.mail_about("ada@example.com", "Willkommen").await;
    assert!(mail.text.contains("Bitte https://app.example.com/verify?token="), "{}", mail.text);
}

#[tokio::test]
async fn a_folder_takes_mails_as_files() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("file:{}/mails", folder.path().display());
    let server = MailServer::start(Tls::None).await;
    let app = start_with(&server, &[("SMTP_URL", &url)]).await;
    app.register("ada@example.com").await;
    let files = |folder: &Path| -> Vec<_> {
        let entries = std::fs::read_dir(folder.join("mails")).into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "eml")).collect()
    };
    wait_until("the file is there", async || !files(folder.path()).is_empty()).await;
    let mail = std::fs::read_to_string(&files(folder.path())[0]).unwrap();
    assert!(mail.contains("To: ada@example.com\r\n"), "{mail}");
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn without_a_mail_server_the_calls_say_so_and_nothing_is_queued() {
    let app = TestApp::start().await;
    let account = app.register("ada@example.com").await;
    let body = json!({"email": "ada@example.com", "token": "x", "password": PASSWORD, "new_email": "b@example.com"});
    for path in
        ["password-reset", "password-reset/confirm", "email-verification", "email-verification/confirm", "email"]
    {
        let answer = account.call(reqwest::Method::POST, &format!("/api/auth/{path}"), body.clone()).await;
        answer.assert_problem(404, "not_found");
        assert!(answer.text("detail").contains("No mail server"), "{answer:?}");
    }
    let change = json!({"current_password": PASSWORD, "new_password": "another good password"});
    assert_eq!(account.call(reqwest::Method::POST, "/api/auth/password", change).await.status, 200);
    assert_eq!(app.database.number("select count(*) from mails").await, 0);
}
