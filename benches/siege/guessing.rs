//! Wrong passwords for one account, each from a network of its own, while the owner signs in.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until};

use super::figures::{Tally, facts};
use super::flood::network;
use super::http::{Line, post};
use super::person::Person;
use super::server::{PASSWORD, Server};

/// Connections of the guesser.
pub(crate) const AT_ONCE: u32 = 64;
const OWNER: &str = "ada@example.com";
const HOME: &str = "198.51.100.7";
const ELSEWHERE: &str = "203.0.113.7";
/// By what the service can know the owner at a login.
const OWNER_AS: [&str; 3] = ["token, at home", "token, elsewhere", "at home, no token"];
/// Between two refreshes of the owner, and between two logins.
const REFRESHES: Duration = Duration::from_secs(1);
const LOGINS: u32 = 3;
/// Failures in a row that strangers have for an account, and then one each so many seconds (docs/api.md).
const FREE: u64 = 100;
const REFILL: u64 = 15 * 60;
/// Before one that was turned away tries again: places are taken as soon as they are free, and little is spent on knocking.
const KNOCK_EVERY: Duration = Duration::from_millis(100);
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
            () = sleep(Duration::from_secs(10)) =>
                eprintln!("{} tries in {} s", next.load(Ordering::Relaxed).min(tries), started.elapsed().as_secs()),
        }
    }
    let length = started.elapsed();
    guessed.store(true, Ordering::Relaxed);
    let (refreshes, logins) = owning.await.unwrap();

    let failures = server.number(ACCOUNT_FAILURES).await;
    println!("{tries} tries, {at_once} at once; one that was turned away with 503 was repeated.\n");
    answers.print("answers to the guesser");
    refreshes.print("refreshes of the owner");
    for (known, logins) in OWNER_AS.iter().zip(&logins) {
        logins.print(&format!("logins of the owner: {known}"));
    }
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
    for (known, logins) in OWNER_AS.iter().zip(&logins) {
        let failed = logins.others(&["200"]).into_iter();
        broken.extend(failed.map(|found| format!("a login of the owner ({known}): {found}")));
    }
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
            sleep(KNOCK_EVERY).await;
        }
    }
}

/// The owner refreshes at home, and now and then signs in again, as somebody whom the service may know.
async fn own(mut home: Person, server: SocketAddr, guessed: Arc<AtomicBool>) -> (Tally, [Tally; 3]) {
    let (mut refreshes, mut logins) = (Tally::default(), [(); 3].map(|()| Tally::default()));
    let (mut signing_in, mut due) = (JoinSet::new(), Instant::now());
    for n in 0_u32.. {
        if guessed.load(Ordering::Relaxed) {
            break;
        }
        sleep_until(due.into()).await;
        refreshes.add(due, &home.refresh().await);
        if n.is_multiple_of(LOGINS) {
            let place = usize::try_from(n / LOGINS).unwrap() % OWNER_AS.len();
            let request = login(&home, place);
            signing_in.spawn(async move {
                let due = Instant::now();
                let answer = Line::renewed(server).call(&request).await;
                (place, answer, due.elapsed())
            });
        }
        due += REFRESHES;
    }
    for (place, answer, after) in signing_in.join_all().await {
        logins[place].add_after(after, &answer);
    }
    (refreshes, logins)
}

fn login(home: &Person, place: usize) -> Vec<u8> {
    let token = (place < 2).then_some(&home.refresh_token);
    let from = if place == 1 { ELSEWHERE } else { &home.from };
    post("/api/auth/login", from, &json!({ "email": OWNER, "password": PASSWORD, "refresh_token": token }))
}
