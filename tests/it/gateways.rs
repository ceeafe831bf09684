//! The gateway of examples/gateways/nginx.conf, run as it is but for the ports, with an API behind it that believes it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{
    Account, Anonymous, JWT_SECRET, Nginx, PASSWORD, ServerProcess, TestApp, TestDatabase, claims, free_port, skipped,
    wait_until,
};

const FORGED: [(&str, &str); 5] = [
    ("X-Auth-User-Id", "00000000-0000-0000-0000-000000000000"),
    ("X-Auth-Email", "root@example.com"),
    ("X-Auth-Role", "admin"),
    ("X-Auth-Session-Id", "00000000-0000-0000-0000-000000000000"),
    // Some servers read this as the first one.
    ("X_Auth_User_Id", "00000000-0000-0000-0000-000000000000"),
];

/// An API that lets everybody in, and keeps the head of each request.
struct Api {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Api {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let api = Self { address: listener.local_addr().unwrap(), heads: Arc::default() };
        let heads = Arc::clone(&api.heads);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let head = answered(stream).await;
                heads.lock().unwrap().push(head);
            }
        });
        api
    }

    fn calls(&self) -> usize {
        self.heads.lock().unwrap().len()
    }

    /// The headers of the last request whose names look like `x-auth-`, sorted.
    fn told(&self) -> Vec<(String, String)> {
        let heads = self.heads.lock().unwrap();
        let headers = heads.last().unwrap().lines().filter_map(|line| line.split_once(": "));
        let headers = headers.map(|(name, value)| (name.to_lowercase().replace('_', "-"), value.to_owned()));
        let mut told: Vec<_> = headers.filter(|(name, _)| name.starts_with("x-auth-")).collect();
        told.sort();
        told
    }
}

/// Answers one request, and gives its head.
async fn answered(mut stream: TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
    stream.read_exact(&mut vec![0; length]).await.unwrap();
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 11\r\nconnection: close\r\n\r\n\"the order\"";
    stream.write_all(answer.as_bytes()).await.unwrap();
    head
}

struct Gateway {
    _nginx: Nginx,
    api: Api,
    caller: Anonymous,
}

impl Gateway {
    async fn before(claviger: SocketAddr) -> Self {
        let (api, port) = (Api::start().await, free_port());
        let conf = include_str!("../../examples/gateways/nginx.conf")
            .replace("listen 8088", &format!("listen 127.0.0.1:{port}"))
            .replace("127.0.0.1:8080", &claviger.to_string())
            .replace("127.0.0.1:9000", &api.address.to_string());
        let nginx = Nginx::start(&conf).await;
        Self { _nginx: nginx, api, caller: Anonymous::at(([127, 0, 0, 1], port).into()) }
    }

    fn order(&self) -> RequestBuilder {
        self.caller.request(Method::GET, "/orders/1")
    }

    async fn status(&self, access_token: &str) -> u16 {
        self.caller.send(self.order().bearer_auth(access_token)).await.status.as_u16()
    }
}

fn forging(request: RequestBuilder) -> RequestBuilder {
    FORGED.into_iter().fold(request, |request, (name, value)| request.header(name, value))
}

fn no_nginx() -> bool {
    let none = Nginx::program().is_none();
    if none {
        skipped("NGINX", "apt-get install nginx");
    }
    none
}

fn signed(claims: &Value, secret: &str) -> String {
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
}

/// What the API must be told about a caller, and nothing beside it.
fn truth(account: &Account) -> Vec<(String, String)> {
    let claims = claims(&account.access_token);
    let names = [("email", "email"), ("role", "role"), ("session-id", "sid"), ("user-id", "sub")];
    names.map(|(name, claim)| (format!("x-auth-{name}"), claims[claim].as_str().unwrap().to_owned())).to_vec()
}

#[tokio::test]
async fn the_api_is_told_who_calls_whatever_the_client_says() {
    if no_nginx() {
        return;
    }
    let app = TestApp::start().await;
    let gateway = Gateway::before(app.address).await;
    let account = gateway.caller.register("ada@example.com").await;
    assert_eq!(account.me().await.text("email"), "ada@example.com");

    let answer = gateway.caller.send(gateway.order().bearer_auth(&account.access_token)).await;
    assert_eq!((answer.status.as_u16(), answer.body), (200, json!("the order")));
    assert_eq!(gateway.api.told(), truth(&account));
    assert_eq!(truth(&account)[0].1, "ada@example.com");
    assert_eq!(truth(&account)[2].1, account.session_id);

    let forged = forging(gateway.order().bearer_auth(&account.access_token));
    assert_eq!(gateway.caller.send(forged).await.status, 200);
    assert_eq!((gateway.api.calls(), gateway.api.told()), (2, truth(&account)));

    let posted = gateway.caller.request(Method::POST, "/orders").bearer_auth(&account.access_token);
    assert_eq!(gateway.caller.send(posted.json(&json!({"of": "tea"}))).await.status, 200);
    assert_eq!((gateway.api.calls(), gateway.api.told()), (3, truth(&account)));
}

#[tokio::test]
async fn without_a_good_token_nothing_reaches_the_api() {
    if no_nginx() {
        return;
    }
    let app = TestApp::start().await;
    let gateway = Gateway::before(app.address).await;
    let account = app.register("ada@example.com").await;
    let good = claims(&account.access_token);
    let mut promoted = good.clone();
    promoted["role"] = json!("admin");
    let mut expired = good.clone();
    expired["exp"] = json!(good["iat"].as_i64().unwrap() - 60);
    let (head_and_claims, signature) = account.access_token.rsplit_once('.').unwrap();
    let of_the_promoted = signed(&promoted, JWT_SECRET);
    let tampered = format!("{}.{signature}", of_the_promoted.rsplit_once('.').unwrap().0);

    for (token, code) in [
        (tampered, "access_token_invalid"),
        (format!("{head_and_claims}."), "access_token_invalid"),
        (signed(&good, "another secret of thirty-two bytes"), "access_token_invalid"),
        (account.refresh_token.clone(), "access_token_invalid"),
        (signed(&expired, JWT_SECRET), "access_token_expired"),
    ] {
        gateway.caller.send(gateway.order().bearer_auth(&token)).await.assert_problem(401, code);
        gateway.caller.send(forging(gateway.order().bearer_auth(&token))).await.assert_problem(401, code);
    }
    gateway.caller.send(forging(gateway.order())).await.assert_problem(401, "access_token_missing");
    let posted = forging(gateway.caller.request(Method::POST, "/orders")).json(&json!({"of": "tea"}));
    gateway.caller.send(posted).await.assert_problem(401, "access_token_missing");
    let inside = forging(gateway.caller.request(Method::GET, "/_check").bearer_auth(&account.access_token));
    assert_eq!(inside.send().await.unwrap().status(), 404);
    assert_eq!(gateway.api.calls(), 0);

    // The same hand signs a good one: it was the times and the signatures that were refused.
    assert_eq!(gateway.status(&signed(&good, JWT_SECRET)).await, 200);
}

#[tokio::test]
async fn a_signed_out_session_is_refused_at_the_gateway_within_seconds_and_no_other() {
    if no_nginx() {
        return;
    }
    let app = TestApp::start().await;
    let gateway = Gateway::before(app.address).await;
    let phone = app.register("ada@example.com").await;
    let laptop = app.login("ada@example.com").await;
    assert_eq!((gateway.status(&phone.access_token).await, gateway.status(&laptop.access_token).await), (200, 200));

    phone.logout().await;

    let started = std::time::Instant::now();
    wait_until("the token is refused", async || gateway.status(&phone.access_token).await == 401).await;
    assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
    assert_eq!(gateway.status(&laptop.access_token).await, 200);
}

#[tokio::test]
async fn nobody_gets_through_while_claviger_is_down() {
    if no_nginx() {
        return;
    }
    let database = TestDatabase::migrated().await;
    let mut server = ServerProcess::ready(&database.url, &[]).await;
    let gateway = Gateway::before(server.address).await;
    let account = gateway.caller.register("ada@example.com").await;
    assert_eq!(gateway.status(&account.access_token).await, 200);

    server.child.kill().unwrap();
    server.exit_code().await;

    for request in [gateway.order().bearer_auth(&account.access_token), forging(gateway.order())] {
        gateway.caller.send(request).await.assert_problem(503, "gateway_unavailable");
    }
    gateway.caller.login("ada@example.com", PASSWORD).await.assert_problem(503, "gateway_unavailable");
    assert_eq!(gateway.api.calls(), 1);
}
