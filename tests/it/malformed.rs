//! Requests that are not HTTP, or too large or too slow to be one: the server below answers them, and nobody is alarmed.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{ServerProcess, TestDatabase, wait_until};

/// What strangers send, and the status that they get; none if the connection ends without an answer.
fn requests() -> Vec<(String, Option<u16>)> {
    let post = "POST /api/auth/refresh HTTP/1.1\r\nHost: x\r\n";
    let long = "a".repeat(200_000);
    let many: String = (0..200).map(|number| format!("x-{number}: 1\r\n")).collect();
    vec![
        ("\r\n\r\n\0\0\0\r\n\r\n".to_owned(), Some(400)),
        ("\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\r\n\r\n".to_owned(), Some(400)),
        ("hello\r\n\r\n".to_owned(), Some(400)),
        ("GET / HTTP/9.9\r\nHost: x\r\n\r\n".to_owned(), Some(400)),
        ("GET /health HTTP/1.1\r\n\r\n".to_owned(), Some(400)),
        ("GET /health HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n".to_owned(), Some(400)),
        ("GET /health HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n".to_owned(), Some(400)),
        ("GET /a b HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), Some(400)),
        (format!("{post}Content-Length: x\r\n\r\n"), Some(400)),
        (format!("{post}Content-Length: +1\r\n\r\n"), Some(400)),
        (format!("{post}Content-Length: 1\r\nContent-Length: 2\r\n\r\n"), Some(400)),
        (format!("{post}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"), Some(400)),
        (format!("{post}Transfer-Encoding: gzip\r\n\r\n"), Some(400)),
        (format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n"), Some(431)),
        (format!("GET / HTTP/1.1\r\nHost: x\r\nx: {long}\r\n\r\n"), Some(431)),
        (format!("GET / HTTP/1.1\r\nHost: x\r\n{many}\r\n"), Some(431)),
        (format!("{post}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n\r\n"), None),
    ]
}

/// The status of the last answer on a connection.
async fn status(server: &ServerProcess, request: &str) -> Option<u16> {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    // The server may have answered and closed before it has all.
    drop(stream.write_all(request.as_bytes()).await);
    let mut answer = Vec::new();
    drop(tokio::time::timeout(Duration::from_mins(1), stream.read_to_end(&mut answer)).await.unwrap());
    let answer = String::from_utf8(answer).unwrap();
    let last = answer.rsplit("HTTP/1.1 ").next()?;
    last.split(' ').next()?.parse().ok()
}

#[tokio::test]
async fn request_that_is_not_http_is_refused_without_a_line_of_level_error() {
    let database = TestDatabase::migrated().await;
    let server = ServerProcess::ready(&database.url, &[]).await;
    for (request, expected) in requests() {
        let shown: String = request.chars().take(80).collect();
        assert_eq!(status(&server, &request).await, expected, "{shown:?}");
        // Behind a good request on the same connection, too.
        let request = format!("GET /health HTTP/1.1\r\nHost: x\r\n\r\n{request}");
        assert_eq!(status(&server, &request).await, expected, "behind another: {shown:?}");
    }
    let silent = TcpStream::connect(server.address).await.unwrap();
    drop(silent);
    assert_eq!(server.anonymous().get("/nowhere").await.status, 404);
    wait_until("the last request is logged", async || server.log().contains("\"status\":404")).await;
    let log = server.log();
    let is_alarming = |line: &&str| line.contains("\"level\":\"ERROR\"") || line.contains("\"target\":\"actix");
    let alarming: Vec<&str> = log.lines().filter(is_alarming).collect();
    assert!(alarming.is_empty(), "{alarming:#?}");
}
