//! Faults of the service's own processes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use super::{LIMIT, pause};
use crate::caller::{Caller, Reply, Request};
use crate::client::PASSWORD;
use crate::ledger::claims;
use crate::postgres::{Postgres, Template};
use crate::proxy::Proxy;
use crate::server::Server;
use crate::stage::{Row, Skipped, Stage};
use crate::wait_until;

pub(super) async fn killed(template: Arc<Template>) -> Row {
    let mut stage = Stage::set(&template, &[]).await;
    stage.begin();
    for _ in 0..5 {
        pause(800).await;
        stage.servers[0].kill();
        pause(300).await;
        stage.servers[0].start().await;
    }
    stage.finish(LIMIT).await
}

pub(super) async fn frozen(template: Arc<Template>) -> Row {
    let mut stage = Stage::set(&template, &[]).await;
    stage.begin();
    stage.servers[0].signal(Signal::STOP);
    pause(5_000).await;
    stage.servers[0].signal(Signal::CONT);
    stage.finish(LIMIT).await
}

/// Clients know the proxy alone, and open a connection for each request, as a proxy without keep-alive does to what is
/// behind it. It asks who is ready, and tries the other server when one refuses, and only then.
pub(super) async fn handed_over(template: Arc<Template>) -> Row {
    let mut postgres = Postgres::prepare(&template, "postgres", &[]);
    postgres.start().await;
    let url = postgres.url();
    let drain = [("CLAVIGER__SERVER__DRAIN", "1s")];
    let mut servers = [(); 2].map(|()| Server::prepare(&template.ground, &url, &drain));
    for server in &mut servers {
        server.start().await;
    }
    let proxy = Proxy::balancing(servers.iter().map(|server| server.address).collect()).await;
    let mut stage = Stage::behind(postgres, servers.into(), proxy.address);
    stage.warm_up().await;
    stage.begin();
    for n in 0..10 {
        let server = &mut stage.servers[n % 2];
        server.signal(Signal::TERM);
        server.ended().await;
        server.start().await;
        pause(300).await;
    }
    stage.finish(LIMIT).await
}

/// The second server's clock is five minutes fast, then five minutes slow; Postgres' is right.
pub(super) async fn clocks_apart(template: Arc<Template>) -> Row {
    let Some(library) = libfaketime() else {
        return Err(Skipped { lacks: "libfaketime", remedy: "apt-get install libfaketime" });
    };
    let mut postgres = Postgres::prepare(&template, "postgres", &[]);
    postgres.start().await;
    let url = postgres.url();
    let shifted = |by: &str| {
        let settings =
            [("LD_PRELOAD", library.to_str().unwrap()), ("FAKETIME", by), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")];
        Server::prepare(&template.ground, &url, &settings)
    };
    let right = Server::prepare(&template.ground, &url, &[]);
    let mut stage = Stage::set_up(postgres, vec![right, shifted("+300s"), shifted("-300s")]);
    for server in &mut stage.servers {
        server.start().await;
    }
    stage.begin();
    stage.warm_up().await;
    pause(5_000).await;
    compare_clocks(&stage).await;
    stage.finish(LIMIT).await
}

fn libfaketime() -> Option<PathBuf> {
    let folders = ["x86_64-linux-gnu/", "aarch64-linux-gnu/", ""].map(|folder| format!("/usr/lib/{folder}faketime"));
    folders.iter().map(|folder| PathBuf::from(folder).join("libfaketime.so.1")).find(|library| library.is_file())
}

/// What one server decides, every other must decide too, and times are the database's, whoever tells them.
async fn compare_clocks(stage: &Stage) {
    let record = &stage.load.record;
    let callers = || stage.servers.iter().map(|server| stage.load.caller_of(server.address));
    for mut first in callers() {
        let email = format!("{}@example.com", uuid::Uuid::new_v4().simple());
        let account = post(&mut first, "/api/auth/register", &json!({ "email": email, "password": PASSWORD })).await;
        let refresh = json!({ "refresh_token": account["refresh_token"] });
        let next = post(&mut first, "/api/auth/refresh", &refresh).await;
        let issued = claims(next["access_token"].as_str().unwrap_or_default()).unwrap_or_default();
        let now = stage.postgres.number("postgres", "extract(epoch from clock_timestamp())").await;
        if issued["iat"].as_i64().is_none_or(|issued| (issued - now).abs() > 3) {
            record.wrong(format!("an access token of {issued} at {now}"));
        }
        for mut second in callers() {
            // The parent again, inside the window: the same successor.
            let again = post(&mut second, "/api/auth/refresh", &refresh).await;
            if again["refresh_token"] != next["refresh_token"] || !again["refresh_token"].is_string() {
                record.wrong(format!("a repeated refresh at another server gave {again}"));
            }
            for path in ["/api/auth/me", "/api/auth/check", "/api/auth/sessions"] {
                let bearer = next["access_token"].as_str().map(str::to_owned);
                let reply = second.send(&Request { path, bearer, ..Request::default() }).await;
                if !matches!(&reply, Reply::Answered(answer) if answer.status < 300) {
                    record.wrong(format!("{path} at another server gave {reply:?}"));
                }
            }
        }
        post(&mut first, "/api/auth/logout", &json!({ "refresh_token": next["refresh_token"] })).await;
        let ended = Instant::now();
        for mut second in callers() {
            let token = next["access_token"].as_str().map(str::to_owned);
            wait_until("the gateway refuses the token of an ended session", async || {
                let bearer = token.clone();
                let reply = second.send(&Request { path: "/api/auth/check", bearer, ..Request::default() }).await;
                matches!(reply, Reply::Answered(answer) if answer.status == 401)
            })
            .await;
        }
        if ended.elapsed() > Duration::from_secs(3) {
            record.wrong(format!("an ended session's token was refused only after {:?}", ended.elapsed()));
        }
    }
}

async fn post(caller: &mut Caller, path: &'static str, body: &serde_json::Value) -> serde_json::Value {
    match caller.send(&Request { body: Some(body.clone()), path, ..Request::default() }).await {
        Reply::Answered(answer) => answer.body,
        Reply::Failed(_) => serde_json::Value::Null,
    }
}
