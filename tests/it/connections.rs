//! Clients that connect and take their time do not keep others out.

use std::process::Command;
use std::time::Duration;

use reqwest::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{PASSWORD, ServerProcess, TestApp, TestDatabase, wait_until};

/// What a slow client has said when it falls silent, and whether it reads a first answer before.
const SLOW: [&str; 4] = [
    "",
    "POST /api/auth/login HTTP/1.1\r\nHo",
    "POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
    "GET /health HTTP/1.1\r\nHost: x\r\n\r\nGET /hea",
];

async fn is_open(stream: &mut TcpStream) -> bool {
    let to_the_end = async { drop(stream.read_to_end(&mut Vec::new()).await) };
    tokio::time::timeout(Duration::from_millis(1), to_the_end).await.is_err()
}

#[tokio::test]
async fn slow_clients_make_room_for_others() {
    let limit = 40;
    let app = TestApp::start_with(&[("CLAVIGER__SERVER__MAX_CONNECTIONS", &limit.to_string())]).await;
    let account = app.register("ada@example.com").await;
    let mut slow = Vec::new();
    for index in 0..4 * limit {
        let mut stream = TcpStream::connect(app.address).await.unwrap();
        stream.write_all(SLOW[index % SLOW.len()].as_bytes()).await.unwrap();
        slow.push(stream);
        if index % 8 == 0 {
            // A connection each time, as strangers have.
            let caller = app.anonymous();
            assert_eq!(caller.login("ada@example.com", PASSWORD).await.status, 200);
            assert_eq!(caller.me(&account.access_token).await.status, 200);
        }
    }
    // The last may not have been let in yet.
    let mut open = slow.len();
    wait_until("no more are open than may be", async || {
        open = 0;
        for stream in &mut slow {
            open += usize::from(is_open(stream).await);
        }
        open <= limit
    })
    .await;
    assert!(open >= 1, "all were cut off");
}

#[tokio::test]
async fn a_request_that_is_being_answered_is_not_cut_off() {
    let database = TestDatabase::migrated().await;
    let settings = [("CLAVIGER__SERVER__MAX_CONNECTIONS", "10"), ("CLAVIGER__DATABASE__POOL_SIZE", "2")];
    let server = ServerProcess::ready(&database.url, &settings).await;
    let caller = server.anonymous();
    let account = caller.register("ada@example.com").await;
    let mut other = database.client().await;
    let holder = other.transaction().await.unwrap();
    holder.batch_execute("lock table users").await.unwrap();
    // One with a body, and one without for a handler that reads one.
    let request = server.anonymous().request(Method::POST, "/api/auth/logout-all").bearer_auth(&account.access_token);
    let requests = [
        tokio::spawn(async move { caller.login("ada@example.com", PASSWORD).await.status }),
        tokio::spawn(async move { account.caller.send(request).await.status }),
    ];
    wait_until("they wait", async || database.waiting_for_locks().await == 2).await;

    let mut crowd = Vec::new();
    for _ in 0..50 {
        crowd.push(TcpStream::connect(server.address).await.unwrap());
    }
    wait_until("some were cut off", async || !is_open(&mut crowd[0]).await).await;
    holder.commit().await.unwrap();
    for request in requests {
        assert_eq!(request.await.unwrap(), 200);
    }
    wait_until("that is told", async || server.log().contains("too many connections")).await;
}

#[tokio::test]
async fn the_limit_on_open_files_is_raised_and_kept_to() {
    let database = TestDatabase::migrated().await;
    let mut low = Command::new("/bin/sh");
    low.args(["-c", "ulimit -Sn 300; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_claviger")]);
    let server = ServerProcess::by(low, &database.url, &[]).await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.child.id())).unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let [soft, hard] = [3, 4].map(|column| files.split_whitespace().nth(column).unwrap());
    assert_eq!(soft, hard, "{files}");
    assert_ne!(soft, "300");

    let settings = [("CLAVIGER__SERVER__MAX_CONNECTIONS", "1000000")];
    let server = ServerProcess::ready(&database.url, &settings).await;
    assert!(server.log().contains("ulimit -n"), "{}", server.log());
}
