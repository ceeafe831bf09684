//! Whether the time of a login, or of asking for a new password, tells that an address is known.

use std::time::{Duration, Instant};

use serde_json::json;

use super::figures::{Figures, facts};
use super::flood::network;
use super::http::{Line, post};
use super::server::{Server, user};

/// How far apart the medians may be, in percent.
const APART: f64 = 5.0;

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Call {
    /// A login with a wrong password.
    Login,
    /// A mail to set a new password.
    Reset,
}

/// So many pairs without limits on tries, and as many with them, each from a network and for an account of its own.
pub(crate) async fn run(call: Call, pairs: u32) -> Vec<String> {
    let mut broken = measure(call, false, pairs).await;
    broken.extend(measure(call, true, pairs).await);
    broken
}

async fn measure(call: Call, throttling: bool, pairs: u32) -> Vec<String> {
    let mut server = Server::start(throttling).await;
    server.add_accounts(pairs).await;
    let mut line = Line::kept(server.address);
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for pair in 0..pairs {
        // In changing order, so that neither always follows the other.
        for turn in [pair % 2, (pair + 1) % 2] {
            let (email, times) =
                if turn == 0 { (user(pair), &mut known) } else { (format!("none{pair}@example.org"), &mut unknown) };
            times.push(ask(call, &mut line, &email, pair).await);
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

async fn ask(call: Call, line: &mut Line, email: &str, n: u32) -> Duration {
    let (path, body, expected) = match call {
        Call::Login => ("/api/auth/login", json!({ "email": email, "password": "a wrong password" }), 401),
        Call::Reset => ("/api/auth/password-reset", json!({ "email": email }), 202),
    };
    let request = post(path, &network(n), &body);
    let sent = Instant::now();
    let status = line.call(&request).await.unwrap().status;
    let time = sent.elapsed();
    assert_eq!(status, expected, "{path}");
    time
}
