//! Large answers: what one account can have written at once, and what a client costs that does not read.

use std::net::SocketAddr;

use reqwest::Method;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};

use crate::support::{Account, Answer, TestApp, wait_until};

const EXPORT: &str = "/api/auth/me/export";
/// More than a copy holds.
const ROWS: usize = 10_500;

/// An account with a long history, each row as large as rows are.
async fn with_history(app: &TestApp) -> Account {
    let account = app.register("ada@example.com").await;
    let user_id = account.user_id();
    app.database
        .execute(&format!(
            "insert into events (user_id, occurred_at, kind, outcome, user_agent, request_id)
             select '{user_id}', now() - n * interval '1 second', 'logged_in', 'success', repeat('\"', 512), repeat('r', 64)
             from generate_series(1, {ROWS}) n;
             insert into sessions (user_id, id, secret_hash, rotated_at, created_at, expires_at, user_agent, label, ended_at, ended_by)
             select '{user_id}', ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, sha256('x'), now(),
                    now() - interval '1 day', now() + interval '1 day', repeat('\"', 512), repeat('x', 200), now(), 'logout'
             from generate_series(1, {ROWS}) n"
        ))
        .await;
    account
}

async fn export(account: &Account) -> Answer {
    account.call(Method::POST, EXPORT, Value::Null).await
}

/// Asks for an answer, and reads nothing of it.
async fn ask_and_not_read(address: SocketAddr, account: &Account) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    let head = format!(
        "POST {EXPORT} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\nauthorization: Bearer {}\r\n\r\n",
        account.access_token
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn an_export_is_written_page_by_page_and_says_where_the_rest_begins() {
    let app = TestApp::start().await;
    let account = with_history(&app).await;

    let answer = export(&account).await;

    assert_eq!((answer.status.as_u16(), answer.header("content-length")), (200, ""), "its length is not known");
    let ids = |list: &Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
    };
    let mut events = ids(&answer.body["events"]);
    let sessions = ids(&answer.body["sessions"]);
    assert_eq!((events.len(), sessions.len()), (10_000, 10_000));
    assert_eq!(sessions[0], account.session_id, "newest first");
    assert!(sessions.is_sorted_by(|newer, older| newer > older), "each once");
    let mut next = answer.text("events_next").to_owned();
    loop {
        let page = account.call(Method::GET, &format!("/api/auth/events?limit=200&before={next}"), Value::Null).await;
        events.extend(ids(&page.body["events"]));
        match page.body["next"].as_str() {
            Some(place) => place.clone_into(&mut next),
            None => break,
        }
    }
    assert_eq!(events.len(), ROWS + 1, "with the registration");
    events.sort_unstable();
    events.dedup();
    assert_eq!(events.len(), ROWS + 1, "each once");
}

#[tokio::test]
async fn exports_that_nobody_reads_are_bounded_for_each_account() {
    let app = TestApp::start().await;
    let account = with_history(&app).await;
    let bob = app.register("bob@example.com").await;
    let mut unread = Vec::new();
    for _ in 0..4 {
        unread.push(ask_and_not_read(app.address, &account).await);
    }
    let exports = "select count(*) from events where kind = 'data_exported'";
    wait_until("four are being written", async || app.database.number(exports).await == 4).await;

    let refused = export(&account).await;

    refused.assert_problem(429, "rate_limited");
    assert!(!refused.header("retry-after").is_empty());
    assert_eq!(app.database.number(exports).await, 4);
    assert_eq!(export(&bob).await.status, 200, "others have theirs");
    assert_eq!(account.me().await.status, 200);
    drop(unread);
    wait_until("their clients have gone", async || export(&account).await.status == 200).await;
}

#[tokio::test]
async fn stored_text_of_clients_is_bounded_in_bytes() {
    let app = TestApp::start().await;
    app.register("ada@example.com").await;
    let emoji = "\u{1f600}";
    let request = app.anonymous().request(Method::POST, "/api/auth/login");
    let request = request.header("user-agent", emoji.repeat(512).as_bytes()).header("x-request-id", "r".repeat(500));
    let label = emoji.repeat(200);
    let body = serde_json::json!({"email": "ada@example.com", "password": crate::support::PASSWORD, "label": label});
    assert_eq!(app.anonymous().send(request.json(&body)).await.status, 200);

    let longest = "select max(octet_length(user_agent)) from (select user_agent from sessions
                   union all select user_agent from events) stored";
    assert_eq!(app.database.number(longest).await, 512);
    assert_eq!(app.database.number("select max(octet_length(label)) from sessions").await, 800);
    assert!(app.database.number("select max(octet_length(request_id)) from events").await <= 64);
}
