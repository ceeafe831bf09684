//! Somebody with an account, who calls over one connection and allocates nothing for that: requests are made beforehand, answers
//! are read into a buffer that is kept.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::thread;
use std::time::Duration;

const CREDENTIALS: &str = r#"{"email":"ada@example.com","password":"correct horse battery staple"}"#;
/// As browsers have it.
const USER_AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

pub(crate) struct Caller {
    connection: Connection,
    check: Vec<u8>,
    me: Vec<u8>,
    login: Vec<u8>,
    refresh: Vec<u8>,
    /// Where the newest refresh token is in that.
    token: Range<usize>,
}

impl Caller {
    /// Waits until the service is ready, and registers.
    pub(crate) fn register(service: SocketAddr) -> Self {
        let mut connection = Connection::open(service);
        while connection.call(&get("/health/ready", ""), 200).is_none() {
            thread::sleep(Duration::from_millis(20));
        }
        let answer = connection.call(&post("/api/auth/register", CREDENTIALS), 201).expect("an account").to_vec();
        let access_token = str::from_utf8(&answer[text(&answer, "access_token")]).unwrap();
        let refresh_token = str::from_utf8(&answer[text(&answer, "refresh_token")]).unwrap();
        let refresh = post("/api/auth/refresh", &format!(r#"{{"refresh_token":"{refresh_token}"}}"#));
        Self {
            check: get("/api/auth/check", access_token),
            me: get("/api/auth/me", access_token),
            login: post("/api/auth/login", CREDENTIALS),
            token: text(&refresh, "refresh_token"),
            refresh,
            connection,
        }
    }

    /// Makes the call of that name once.
    pub(crate) fn make(&mut self, call: &str) {
        let (request, status) = match call {
            "check" => (&self.check, 204),
            "me" => (&self.me, 200),
            "login" => (&self.login, 200),
            "refresh" => (&self.refresh, 200),
            other => panic!("nobody knows how to {other}"),
        };
        let answer = self.connection.call(request, status).expect("an answer as it should be");
        if call == "refresh" {
            let next = &answer[text(answer, "refresh_token")];
            self.refresh[self.token.clone()].copy_from_slice(next);
        }
    }
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    fn open(server: SocketAddr) -> Self {
        let stream = TcpStream::connect(server).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: vec![0; 16 * 1024] }
    }

    /// Sends a request; gives the body of the answer, if that has this status.
    fn call(&mut self, request: &[u8], status: u16) -> Option<&[u8]> {
        self.stream.write_all(request).unwrap();
        let mut read = 0;
        loop {
            let more = self.stream.read(&mut self.buffer[read..]).unwrap();
            assert!(more > 0, "the connection is closed");
            read += more;
            let Some(head) = find(&self.buffer[..read], b"\r\n\r\n") else { continue };
            let text = str::from_utf8(&self.buffer[..head]).unwrap();
            let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
            let body = head + 4..head + 4 + length.map_or(0, |length| length.parse().unwrap());
            if read >= body.end {
                let is_good = text[9..12].parse() == Ok(status);
                return is_good.then(|| &self.buffer[body]);
            }
        }
    }
}

fn get(path: &str, access_token: &str) -> Vec<u8> {
    format!("{}Authorization: Bearer {access_token}\r\n\r\n", head("GET", path)).into_bytes()
}

fn post(path: &str, body: &str) -> Vec<u8> {
    let head = head("POST", path);
    format!("{head}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn head(method: &str, path: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: auth.example.com\r\nUser-Agent: {USER_AGENT}\r\nAccept: */*\r\n")
}

/// Where the text of that name is in JSON without escapes.
fn text(json: &[u8], name: &str) -> Range<usize> {
    let start = find(json, name.as_bytes()).expect("a text of that name") + name.len() + "\":\"".len();
    start..start + find(&json[start..], b"\"").expect("its end")
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}
