//! Wrong passwords for one account, each from a network of its own, while the owner signs in.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use super::figures::{Tally, facts};
use super::flood::network;
use super::http::{Line, post};
use super::person::Person;
use super::server::{PASSWORD, Server};

/// Connections of the guesser.
pub(crate) const AT_ONCE: u32 = 64;
const OWNER: &str = "ada@example.com";
const HOME: &str = "198.51.100.7";
/// Between two refreshes of the owner, and between two logins.
const REFRESHES: Duration = Duration::from_secs(1);
const LOGINS: u32 = 3;
/// Failures in a row that strangers have for an account, and then one each so many seconds (docs/api.md).
const FREE: u64 = 100;
const REFILL: u64 = 15 * 60;
const ACCOUNT_FAILURES: &str = "select count(*) from events where kind = 'login_failed'";

pub(crate) async fn run(tries: u32, at_once: u32) -> Vec<String> {
    let mut server = Server::start(true).await;
    let mut owner = Person::new(Line::kept(server.address), HOME.to_owned(), OWNER.to_owned());
    assert_eq!(owner.register().await.unwrap().status, 201, "registering works");
    let guessed = Arc::new(AtomicBool::new(false));
    let owning = tokio::spawn(own(owner, server.address, Arc::clone(&guessed)));

    let started = Instant::now();
    let next = Arc::new(AtomicU32::new(0));
    let mut guessing = JoinSet::new();
    for _ in 0..at_once {
        guessing.spawn(guess(server.address, Arc::clone(&next), tries));
    }
    let mut answers = Tally::default();
    while !guessing.is_empty() {
        tokio::select! {
            Some(joined) = guessing.join_next() => answers.append(joined.unwrap()),
            () = tokio::time::sleep(Duration::from_secs(10)) =>
                eprintln!("{} tries in {} s", next.load(Ordering::Relaxed).min(tries), started.elapsed().as_secs()),
        }
    }
    let length = started.elapsed();
    guessed.store(true, Ordering::Relaxed);
    let (refreshes, logins) = owning.await.unwrap();

    let failures = server.number(ACCOUNT_FAILURES).await;
    println!("{tries} tries, {at_once} at once; one that was turned away with 503 was repeated at once.\n");
    answers.print("answers to the guesser");
    refreshes.print("refreshes of the owner");
    logins.print("logins of the owner");
    facts(
        "server",
        &[
            ("length", &format!("{:.1} s", length.as_secs_f64())),
            ("tries decided a second", &format!("{:.0}", f64::from(tries) / length.as_secs_f64())),
            ("passwords of the guesser that were compared, by their events", &failures),
            ("rows of throttles", &server.number("select count(*) from throttles").await),
            ("size of throttles, kB", &server.number("select pg_total_relation_size('throttles') / 1024").await),
            ("memory, most ever", &server.megabytes("VmHWM")),
        ],
    );

    let mut broken = server.complaints();
    let compared = answers.count("401");
    let most = FREE + 1 + length.as_secs() / REFILL;
    if u64::try_from(compared).unwrap() > most {
        broken.push(format!("{compared} passwords were compared, {most} were allowed"));
    }
    if i64::try_from(compared).unwrap() != failures {
        broken.push(format!("{compared} answers say that a password was compared, {failures} events"));
    }
    let expected = ["401 invalid_credentials", "429 rate_limited", "503 overloaded"];
    broken.extend(answers.others(&expected).into_iter().map(|found| format!("a guess: {found}")));
    broken.extend(refreshes.others(&["200"]).into_iter().map(|found| format!("a refresh of the owner: {found}")));
    broken.extend(logins.others(&["200"]).into_iter().map(|found| format!("a login of the owner: {found}")));
    broken
}

/// Tries until all are decided.
async fn guess(server: SocketAddr, next: Arc<AtomicU32>, tries: u32) -> Tally {
    let (mut line, mut answers) = (Line::kept(server), Tally::default());
    loop {
        let n = next.fetch_add(1, Ordering::Relaxed);
        if n >= tries {
            return answers;
        }
        let guess = json!({ "email": OWNER, "password": format!("guess {n}") });
        let request = post("/api/auth/login", &network(n), &guess);
        loop {
            let due = Instant::now();
            let answer = line.call(&request).await;
            answers.add(due, &answer);
            if answer.is_ok_and(|answer| answer.status != 503) {
                break;
            }
        }
    }
}

/// The owner refreshes at home, and now and then signs in again: at home and elsewhere with the token that the device has,
/// and at home without it.
async fn own(mut home: Person, server: SocketAddr, guessed: Arc<AtomicBool>) -> (Tally, Tally) {
    let (mut refreshes, mut logins) = (Tally::default(), Tally::default());
    let (mut line, mut due) = (Line::kept(server), Instant::now());
    for n in 0_u32.. {
        if guessed.load(Ordering::Relaxed) {
            break;
        }
        sleep_until(due.into()).await;
        refreshes.add(due, &home.refresh().await);
        if n.is_multiple_of(LOGINS) {
            let due = Instant::now();
            logins.add(due, &line.call(&login(&home, n / LOGINS)).await);
        }
        due += REFRESHES;
    }
    (refreshes, logins)
}

fn login(home: &Person, n: u32) -> Vec<u8> {
    let token = (n % 3 != 2).then_some(&home.refresh_token);
    let elsewhere = format!("203.0.113.{}", n % 256);
    let from = if n % 3 == 1 { &elsewhere } else { &home.from };
    post("/api/auth/login", from, &json!({ "email": OWNER, "password": PASSWORD, "refresh_token": token }))
}
