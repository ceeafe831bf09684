//! Against a service that says what a test tells it to.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use uuid::Uuid;

use super::*;
use crate::Claims;

const SESSION: Uuid = Uuid::from_u128(2);

/// One answer: its status and its body, or a header line and none.
type Said = (u16, String);

/// Gives these answers, one for each request, and the last one again and again.
struct Service {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Service {
    async fn saying(answers: Vec<Said>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let questions = Arc::clone(&asked);
        tokio::spawn(async move {
            for index in 0.. {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = Vec::new();
                while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                questions.lock().unwrap().push(String::from_utf8(head).unwrap());
                let (status, body) = answers.get(index).or(answers.last()).unwrap();
                let (header, body) =
                    if body.starts_with("location:") { (body.as_str(), "") } else { ("a: b", &**body) };
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 {status} X\r\n{header}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
                );
                // It may have been given up.
                drop(stream.write_all(answer.as_bytes()).await);
            }
        });
        Self { address, asked }
    }

    fn follow(&self) -> (Revocations, tokio::task::JoinHandle<Infallible>) {
        let revocations = Revocations::new();
        let follower = Follower::new(&self.address, "an id", "a secret", revocations.clone()).unwrap();
        (revocations, tokio::spawn(follower.every(Duration::from_millis(20)).run()))
    }

    /// The first line of each request so far, without the version.
    fn asked(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        asked
            .iter()
            .map(|head| head.lines().next().unwrap().replace(" HTTP/1.1", "").replace("/api/auth", ""))
            .collect()
    }

    async fn wait_for(&self, count: usize) {
        wait_until(|| self.asked().len() >= count).await;
    }
}

async fn wait_until(condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < Duration::from_mins(1), "waited in vain");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn token() -> Said {
    token_for(300)
}

fn token_for(seconds: u32) -> Said {
    (200, json!({"access_token": "a token", "token_type": "Bearer", "expires_in": seconds}).to_string())
}

fn list(sessions: &[Uuid], next: &str, more: bool) -> Said {
    let now = "2026-01-31T12:00:00Z";
    let sessions: Vec<Value> = sessions.iter().map(|id| json!({"id": id, "revoked_at": now})).collect();
    let list = json!({
        "sessions": sessions, "users": [], "next": next, "more": more, "retention": 610, "server_time": now,
    });
    (200, list.to_string())
}

fn is_refused(revocations: &Revocations) -> bool {
    let claims: Claims = serde_json::from_value(json!({
        "iss": "", "aud": "", "sub": SESSION, "sid": SESSION, "jti": SESSION, "iat": 0, "exp": 0, "auth_time": 0,
        "email": "", "role": "user", "type": "access",
    }))
    .unwrap();
    revocations.refuse(&claims)
}

#[tokio::test]
async fn it_gets_a_token_and_goes_on_where_each_answer_ended() {
    let answers = vec![token(), list(&[SESSION], "a", true), list(&[], "b +", false), list(&[], "c", false)];
    let service = Service::saying(answers).await;
    let (revocations, _task) = service.follow();
    service.wait_for(5).await;

    let expected = ["POST /token", "GET /revocations", "GET /revocations?after=a", "GET /revocations?after=b+%2B"];
    assert_eq!(service.asked()[..4], expected);
    assert!(is_refused(&revocations) && revocations.age().is_some());
    let asked = service.asked.lock().unwrap().concat();
    assert!(
        asked.contains("authorization: Basic YW4gaWQ6YSBzZWNyZXQ=") && asked.contains("authorization: Bearer a token")
    );
}

#[tokio::test]
async fn a_token_that_is_over_is_renewed_at_once() {
    let refused = (401, json!({"code": "access_token_expired"}).to_string());
    let answers = vec![token(), list(&[], "a", false), refused, token(), list(&[SESSION], "b", false)];
    let service = Service::saying(answers).await;
    let (revocations, _task) = service.follow();
    wait_until(|| is_refused(&revocations)).await;
    let expected = ["GET /revocations?after=a", "POST /token", "GET /revocations?after=a"];
    assert_eq!(service.asked()[2..5], expected);
}

#[tokio::test]
async fn from_half_of_its_life_on_a_token_is_renewed_and_kept_while_that_fails() {
    let second = token().1.replace("a token", "a second token");
    let answers = vec![token_for(0), list(&[], "a", false), (503, String::new()), list(&[SESSION], "b", false)];
    let service = Service::saying(answers).await;
    let (revocations, _task) = service.follow();
    service.wait_for(5).await;
    assert!(is_refused(&revocations));
    // The next try comes after a pause, and the list is heard meanwhile.
    assert_eq!(service.asked()[2..5], ["POST /token", "GET /revocations?after=a", "GET /revocations?after=b"]);

    let answers = vec![token_for(0), list(&[], "a", false), (200, second), list(&[], "b", false)];
    let service = Service::saying(answers).await;
    let (_revocations, _task) = service.follow();
    service.wait_for(5).await;
    let asked = service.asked.lock().unwrap();
    let with: Vec<bool> = asked.iter().map(|head| head.contains("authorization: Bearer a second token\r")).collect();
    assert_eq!(with[..5], [false, false, false, true, true], "{asked:?}");
}

#[tokio::test]
async fn what_was_heard_stays_while_the_service_says_other_things() {
    let elsewhere = Service::saying(vec![list(&[], "x", false)]).await;
    let endless = " ".repeat(MOST_BYTES + 1);
    let answers = vec![
        token(),
        list(&[SESSION], "a", false),
        (500, String::new()),
        (200, "<html>".to_owned()),
        (307, format!("location: {}", elsewhere.address)),
        (200, endless),
        list(&[], "a", true),
        list(&[], "z", false),
    ];
    let service = Service::saying(answers).await;
    let (revocations, _task) = service.follow();
    service.wait_for(9).await;
    assert!(is_refused(&revocations));
    let after: Vec<String> = service.asked()[2..8].to_vec();
    assert!(after.iter().all(|asked| asked == "GET /revocations?after=a"), "{after:?}");
    assert_eq!(service.asked()[8], "GET /revocations?after=z");
    assert!(elsewhere.asked().is_empty(), "a redirect is not followed");
}

#[tokio::test]
async fn nothing_is_known_without_credentials_or_the_scope() {
    let no = |status: u16, code: &str| (status, json!({ "code": code }).to_string());
    for answers in [vec![no(401, "invalid_client")], vec![token(), no(403, "insufficient_scope")]] {
        let service = Service::saying(answers).await;
        let (revocations, _task) = service.follow();
        service.wait_for(3).await;
        assert!(revocations.age().is_none());
    }
}

#[tokio::test]
async fn a_place_that_the_service_does_not_understand_is_forgotten() {
    let answers = vec![token(), list(&[], "a", false), (422, String::new()), list(&[], "b", false)];
    let service = Service::saying(answers).await;
    let (_revocations, _task) = service.follow();
    service.wait_for(4).await;
    assert_eq!(service.asked()[2..4], ["GET /revocations?after=a", "GET /revocations"]);
}

#[tokio::test]
async fn a_service_that_does_not_answer_is_asked_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let _task = tokio::spawn(Follower::new(&address, "an id", "a secret", Revocations::new()).unwrap().run());
    let first = listener.accept().await.unwrap();
    let second = tokio::time::timeout(REQUEST_LIMIT * 2, listener.accept()).await;
    assert!(second.is_ok());
    drop(first);
}

#[test]
fn an_address_is_a_plain_url() {
    let follow = |address: &str| Follower::new(address, "an id", "a secret", Revocations::new());
    for good in ["http://127.0.0.1:8080", "https://auth.example.com/", "https://example.com/auth"] {
        assert!(follow(good).is_ok(), "{good}");
    }
    for bad in ["", "auth.example.com", "ftp://x", "https://a:b@example.com", "https://example.com/?a", "https://x/#a"]
    {
        assert!(matches!(follow(bad), Err(NoService::Address)), "{bad}");
    }
    assert_eq!(format!("{:?}", follow("https://example.com/").unwrap()), "Follower(https://example.com)");
}

#[test]
fn pauses_grow_to_ten_seconds_and_differ() {
    let pauses =
        |failures: u32| -> Vec<Duration> { (0..50).map(|_| back_off(Duration::from_secs(1), failures)).collect() };
    assert!(pauses(1).iter().all(|pause| (1..=2).contains(&pause.as_secs())));
    assert!(pauses(u32::MAX).iter().all(|pause| (5..=10).contains(&pause.as_secs())));
    assert!(pauses(5).iter().any(|pause| *pause != pauses(5)[0]));
}
