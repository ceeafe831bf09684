//! HTTP/1.1 by hand on connections that are kept: a client library would take more of the cores that it shares with the server.

use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A connection, one request at a time.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// An answer, in the buffer of its connection.
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
}

impl Connection {
    pub(crate) async fn open(server: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(4_096) })
    }

    /// Sends a request and reads the answer.
    pub(crate) async fn call(&mut self, request: &[u8]) -> Result<Answer<'_>> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let Some(head) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
            let start = head + 4;
            let text = std::str::from_utf8(&self.buffer[..head]).map_err(Error::other)?;
            let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
            let end = start + length.map_or(0, |length| length.parse().unwrap_or(0));
            if self.buffer.len() >= end {
                let status = text.get(9..12).and_then(|status| status.parse().ok()).ok_or(ErrorKind::InvalidData)?;
                return Ok(Answer { status, body: &self.buffer[start..end] });
            }
        }
    }
}

impl Answer<'_> {
    /// A text of the body that has no escapes.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        let body = std::str::from_utf8(self.body).ok()?;
        let (_, rest) = body.split_once(&format!("\"{name}\":\""))?;
        rest.split('"').next()
    }
}

/// A request with a body, from an address behind the proxy that this is.
pub(crate) fn post(path: &str, from: u32, body: &str) -> Vec<u8> {
    let head = head("POST", path, from);
    format!("{head}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// A request with an access token.
pub(crate) fn get(path: &str, access_token: &str) -> Vec<u8> {
    format!("{}Authorization: Bearer {access_token}\r\n\r\n", head("GET", path, 1)).into_bytes()
}

/// As a browser's request has it, and short.
fn head(method: &str, path: &str, from: u32) -> String {
    let [_, a, b, c] = from.to_be_bytes();
    let agent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
    format!("{method} {path} HTTP/1.1\r\nHost: auth\r\nUser-Agent: {agent}\r\nX-Forwarded-For: 11.{a}.{b}.{c}\r\n")
}
