//! Whether the time of a login tells that an address is known.

use std::time::{Duration, Instant};

use serde_json::json;

use super::figures::{Figures, facts};
use super::flood::network;
use super::http::{Line, post};
use super::server::{Server, user};

/// How far apart the medians may be, in percent.
const APART: f64 = 5.0;

/// So many pairs without limits on tries, and as many with them, each from a network and for an account of its own.
pub(crate) async fn run(pairs: u32) -> Vec<String> {
    let mut broken = measure(false, pairs).await;
    broken.extend(measure(true, pairs).await);
    broken
}

async fn measure(throttling: bool, pairs: u32) -> Vec<String> {
    let mut server = Server::start(throttling).await;
    server.add_accounts(pairs).await;
    let mut line = Line::kept(server.address);
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for pair in 0..pairs {
        // In changing order, so that neither always follows the other.
        for turn in [pair % 2, (pair + 1) % 2] {
            let (email, times) =
                if turn == 0 { (user(pair), &mut known) } else { (format!("none{pair}@example.org"), &mut unknown) };
            times.push(login(&mut line, &email, pair).await);
        }
        if pair % 50 == 49 {
            eprintln!("{} of {pairs} pairs", pair + 1);
        }
    }

    let (known, unknown) = (Figures::of(known), Figures::of(unknown));
    println!(
        "| limits {} | number | p50 ms | p90 ms | p99 ms | max ms |\n|---|--:|--:|--:|--:|--:|",
        if throttling { "on" } else { "off" }
    );
    println!("| known address | {} |\n| unknown address | {} |\n", known.cells(), unknown.cells());
    let apart = 100.0 * (unknown.percentile(50) / known.percentile(50) - 1.0);
    facts("medians", &[("unknown to known", &format!("{apart:+.2} %"))]);

    let mut broken = server.complaints();
    if apart.is_nan() || apart.abs() > APART {
        broken.push(format!("the medians are {apart:.2} % apart, {APART} % are allowed"));
    }
    broken
}

async fn login(line: &mut Line, email: &str, n: u32) -> Duration {
    let request = post("/api/auth/login", &network(n), &json!({ "email": email, "password": "a wrong password" }));
    let sent = Instant::now();
    let status = line.call(&request).await.unwrap().status;
    let time = sent.elapsed();
    assert_eq!(status, 401, "a wrong password is refused");
    time
}
