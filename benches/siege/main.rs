//! Attacks, and what they do to everybody else.
//!
//! `make siege`, or `cargo bench --bench siege -- flood 60` for one of them and its size:
//!
//! - `flood`: seconds of logins at ten times what can be hashed, while devices refresh.
//! - `slow`: seconds of 5,000 connections that dawdle, while clients come and go.
//! - `guessing`: wrong passwords for one account from as many networks, while its owner signs in; then how many connections.
//! - `timing`: logins with a known address, and with an unknown one, which must take the same time.
//! - `reset`: the same of mails to set a new password.
//!
//! The program runs as it is installed, with less than 256 MB and the usual limit of open files, over a Postgres that
//! writes to disk. Attackers, server and Postgres share this machine: ratios within one run say more than milliseconds.
//! Linux only. Fails when a promise is broken, and names it.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark that panics has failed, and prints what it has measured"
)]

mod figures;
mod flood;
mod guessing;
mod http;
mod person;
mod server;
mod slow;
mod timing;

use std::process::ExitCode;

use timing::Call;
use tokio::runtime::Runtime;

const FLOOD_SECONDS: u32 = 600;
const SLOW_SECONDS: u32 = 60;
const GUESSES: u32 = 1_000_000;
const PAIRS: u32 = 500;

fn main() -> ExitCode {
    // `cargo bench` adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let number = |place: usize, or: u32| arguments.get(place).map_or(or, |text| text.parse().expect("a number"));
    let runtime = Runtime::new().unwrap();
    let attack = |name: &str| {
        println!("## {name}\n");
        let broken = runtime.block_on(async {
            match name {
                "flood" => flood::run(number(1, FLOOD_SECONDS)).await,
                "slow" => slow::run(number(1, SLOW_SECONDS)).await,
                "guessing" => guessing::run(number(1, GUESSES), number(2, guessing::AT_ONCE)).await,
                "timing" => timing::run(Call::Login, number(1, PAIRS)).await,
                "reset" => timing::run(Call::Reset, number(1, PAIRS)).await,
                _ => panic!("attacks are flood, slow, guessing, timing and reset"),
            }
        });
        for promise in &broken {
            println!("BROKEN: {promise}");
        }
        broken.len()
    };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    println!("Attackers, server and Postgres share {cores} cores.\n");
    let broken = match arguments.first() {
        Some(name) => attack(name),
        None => ["timing", "reset", "slow", "guessing", "flood"].into_iter().map(attack).sum(),
    };
    if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
