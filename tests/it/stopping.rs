//! Stopping a server: each client that has connected is answered, whatever signals come.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::Method;
use rustix::process::Signal;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_postgres::Client;

use crate::support::{PASSWORD, ServerProcess, TestDatabase, wait_until};

/// A server with a registration in flight that waits for `holder`'s lock.
async fn with_slow_request(
    database: &TestDatabase,
    holder: &Client,
) -> (ServerProcess, tokio::task::JoinHandle<Option<u16>>) {
    let server = ServerProcess::ready(&database.url, &[]).await;
    holder.batch_execute("begin; lock table users").await.unwrap();
    let caller = server.anonymous();
    let slow = tokio::spawn(async move {
        let request = caller.request(Method::POST, "/api/auth/register");
        let request = request.json(&json!({"email": "a@b.example", "password": PASSWORD}));
        request.send().await.ok().map(|answer| answer.status().as_u16())
    });
    wait_until("the request is in flight", async || database.waiting_for_locks().await == 1).await;
    (server, slow)
}

async fn refuses(address: SocketAddr) {
    wait_until("new connections are refused", async || TcpStream::connect(address).await.is_err()).await;
}

#[tokio::test]
async fn further_signals_but_a_second_sigint_cut_off_no_request() {
    for signals in [
        vec![Signal::TERM, Signal::TERM, Signal::TERM],
        vec![Signal::TERM, Signal::INT],
        vec![Signal::INT, Signal::TERM, Signal::TERM],
    ] {
        let database = TestDatabase::migrated().await;
        let holder = database.client().await;
        let (mut server, slow) = with_slow_request(&database, &holder).await;
        for signal in &signals {
            server.signal(*signal);
            refuses(server.address).await;
        }
        assert!(server.child.try_wait().unwrap().is_none(), "{signals:?}");
        holder.batch_execute("commit").await.unwrap();
        assert_eq!(slow.await.unwrap(), Some(201), "{signals:?}");
        assert_eq!(server.exit_code().await, Some(0), "{signals:?}");
    }
}

#[tokio::test]
async fn second_sigint_ends_the_process_at_once() {
    for first in [Signal::INT, Signal::TERM] {
        let database = TestDatabase::migrated().await;
        let holder = database.client().await;
        let (mut server, slow) = with_slow_request(&database, &holder).await;
        server.signal(first);
        refuses(server.address).await;
        // Two at the same moment are one.
        wait_until("it ends", async || {
            let is_over = server.child.try_wait().unwrap().is_some();
            if !is_over {
                server.signal(Signal::INT);
            }
            is_over
        })
        .await;
        assert_eq!(server.exit_code().await, Some(130));
        assert_eq!(slow.await.unwrap(), None);
        holder.batch_execute("commit").await.unwrap();
    }
}

#[tokio::test]
async fn connections_in_the_listen_queue_are_served() {
    for workers in ["1", "2", "8"] {
        let database = TestDatabase::migrated().await;
        let mut server = ServerProcess::ready(&database.url, &[("CLAVIGER__SERVER__WORKERS", workers)]).await;
        server.anonymous().register("ada@example.com").await;
        // Nobody accepts while the process is frozen.
        server.signal(Signal::STOP);
        let body = json!({"email": "ada@example.com", "password": PASSWORD}).to_string();
        let mut clients = Vec::new();
        for _ in 0..12 {
            let mut client = TcpStream::connect(server.address).await.unwrap();
            let head = "POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json";
            let request = format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            client.write_all(request.as_bytes()).await.unwrap();
            clients.push(client);
        }
        server.signal(Signal::TERM);
        server.signal(Signal::CONT);
        for mut client in clients {
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).await.unwrap();
            let answer = String::from_utf8_lossy(&answer);
            assert!(answer.starts_with("HTTP/1.1 200"), "{workers} workers: {answer:?}");
        }
        assert_eq!(server.exit_code().await, Some(0));
        assert_eq!(database.number("select count(*) from sessions").await, 13);
    }
}

#[tokio::test]
async fn first_request_that_is_still_on_its_way_is_answered() {
    let database = TestDatabase::migrated().await;
    let mut server = ServerProcess::ready(&database.url, &[]).await;
    let mut client = TcpStream::connect(server.address).await.unwrap();
    client.write_all(b"GET /health HTTP/1.1\r\n").await.unwrap();
    server.signal(Signal::TERM);
    wait_until("it stops", async || server.log().contains("stopping")).await;
    client.write_all(b"Host: x\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("connection: close"), "{answer}");
    assert_eq!(server.exit_code().await, Some(0));
}

#[tokio::test]
async fn client_that_never_sends_a_request_does_not_hold_up_the_stop() {
    let database = TestDatabase::migrated().await;
    let mut server = ServerProcess::ready(&database.url, &[]).await;
    let _silent = TcpStream::connect(server.address).await.unwrap();
    let started = std::time::Instant::now();
    server.signal(Signal::TERM);
    assert_eq!(server.exit_code().await, Some(0));
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

#[tokio::test]
async fn no_connection_is_reset_while_many_connect_during_a_stop() {
    for workers in ["1", "2", "8"] {
        for _ in 0..3 {
            let database = TestDatabase::migrated().await;
            let mut server = ServerProcess::ready(&database.url, &[("CLAVIGER__SERVER__WORKERS", workers)]).await;
            let (answered, over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
            let address = server.address;
            let clients: Vec<_> = (0..24)
                .map(|_| tokio::spawn(connect_until_refused(address, Arc::clone(&answered), Arc::clone(&over))))
                .collect();
            wait_until("they are at it", async || answered.load(Ordering::Relaxed) > 200).await;
            server.signal(Signal::TERM);
            assert_eq!(server.exit_code().await, Some(0));
            over.store(true, Ordering::Relaxed);
            for client in clients {
                let lost = client.await.unwrap();
                assert_eq!(lost, None, "{workers} workers, {answered:?} answered");
            }
        }
    }
}

/// Connects and asks, again and again; says what became of a connection that was made and not answered.
async fn connect_until_refused(
    address: SocketAddr,
    answered: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
) -> Option<String> {
    while !over.load(Ordering::Relaxed) {
        let connecting = tokio::time::timeout(Duration::from_secs(10), TcpStream::connect(address));
        let Ok(Ok(mut connection)) = connecting.await else { return None };
        let asking = async {
            connection.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await?;
            let mut answer = String::new();
            connection.read_to_string(&mut answer).await?;
            Ok::<_, std::io::Error>(answer)
        };
        match asking.await {
            Ok(answer) if answer.starts_with("HTTP/1.1 200") => _ = answered.fetch_add(1, Ordering::Relaxed),
            other => return Some(format!("{other:?}")),
        }
    }
    None
}
