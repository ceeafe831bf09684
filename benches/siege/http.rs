//! HTTP/1.1 by hand, one request after the other on a connection that is kept or not: a client library would take more
//! of the cores that it shares with the server.

use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// An answer that takes longer is a hang: whatever the server does is bounded far below that.
pub(crate) const HANG: Duration = Duration::from_secs(30);
/// Servers close what is idle; a request must not cross that on its way.
const KEPT: Duration = Duration::from_secs(2);

/// Where one caller's requests go, one at a time.
pub(crate) struct Line {
    server: SocketAddr,
    keeps: bool,
    kept: Option<(TcpStream, Instant)>,
}

/// An answer, read whole.
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    body: Vec<u8>,
}

impl Line {
    /// One that keeps its connection.
    pub(crate) fn kept(server: SocketAddr) -> Self {
        Self { server, keeps: true, kept: None }
    }

    /// One with a new connection for each request.
    pub(crate) fn renewed(server: SocketAddr) -> Self {
        Self { server, keeps: false, kept: None }
    }

    /// Sends a request and reads the answer.
    pub(crate) async fn call(&mut self, request: &[u8]) -> Result<Answer> {
        timeout(HANG, self.exchange(request)).await.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
    }

    async fn exchange(&mut self, request: &[u8]) -> Result<Answer> {
        let kept = self.kept.take().filter(|(_, since)| since.elapsed() < KEPT);
        let mut stream = match kept {
            Some((stream, _)) => stream,
            None => TcpStream::connect(self.server).await?,
        };
        stream.set_nodelay(true)?;
        stream.write_all(request).await?;
        let answer = Answer::read(&mut stream).await?;
        if self.keeps && answer.header("connection") != Some("close") {
            self.kept = Some((stream, Instant::now()));
        }
        Ok(answer)
    }
}

impl Answer {
    async fn read(stream: &mut TcpStream) -> Result<Self> {
        let mut bytes = Vec::with_capacity(2_048);
        let head = loop {
            if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            more(stream, &mut bytes).await?;
        };
        let mut body = bytes.split_off(head);
        let head = String::from_utf8(bytes).map_err(Error::other)?;
        let status = head.get(9..12).and_then(|text| text.parse().ok()).ok_or(ErrorKind::InvalidData)?;
        let answer = Self { status, head, body: Vec::new() };
        let length = answer.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        while body.len() < length {
            more(stream, &mut body).await?;
        }
        Ok(Self { body, ..answer })
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut pairs = self.head.lines().filter_map(|line| line.split_once(": "));
        pairs.find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// A text of the body, if it is there.
    pub(crate) fn text(&self, field: &str) -> Option<String> {
        let body: Value = serde_json::from_slice(&self.body).ok()?;
        body.get(field)?.as_str().map(str::to_owned)
    }
}

async fn more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Result<()> {
    if stream.read_buf(bytes).await? == 0 {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

/// What became of a call, in a few words: the status and the code, or why there is no answer.
pub(crate) fn outcome(answer: &Result<Answer>) -> String {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) if error.kind() == ErrorKind::TimedOut => return format!("no answer in {} s", HANG.as_secs()),
        Err(error) => return format!("no answer: {error}"),
    };
    let Answer { status, .. } = answer;
    if *status < 400 {
        return status.to_string();
    }
    let code = answer.text("code").unwrap_or_default();
    match (status, answer.header("retry-after")) {
        (429 | 503, None) => format!("{status} {code} without Retry-After"),
        _ => format!("{status} {code}"),
    }
}

/// A request with a body, from an address behind the proxy that this is.
pub(crate) fn post(path: &str, from: &str, body: &Value) -> Vec<u8> {
    let body = body.to_string();
    let head = head("POST", path, from);
    format!("{head}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// A request with an access token.
pub(crate) fn get(path: &str, from: &str, access_token: &str) -> Vec<u8> {
    format!("{}Authorization: Bearer {access_token}\r\n\r\n", head("GET", path, from)).into_bytes()
}

fn head(method: &str, path: &str, from: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: siege\r\nUser-Agent: siege\r\nX-Forwarded-For: {from}\r\n")
}
