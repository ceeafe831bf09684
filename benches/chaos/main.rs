//! Faults against real processes: the built service, real Postgres servers, and clients that keep calling as docs/api.md
//! tells them to.
//!
//! `make chaos`, or `cargo bench --bench chaos -- killed disk` for the rows whose names contain one of these words. Prints
//! what happens, and a table at the end. Runs on Linux, which tells in /proc who works where.
//!
//! Fails when an answer is wrong, a token is lost, or a fault is not recovered from in time. While a fault lasts, right
//! answers, 503 as documented, and no connection are not wrong; no answer within 15 s is. "To recovery" counts from the
//! moment the fault is lifted until every client has had a refresh that it asked for since, and the last 503 or missing
//! connection is over; a second without any must follow.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a harness that panics has failed, and prints what it has seen"
)]

mod audit;
mod caller;
mod client;
mod dice;
mod ground;
mod ledger;
mod postgres;
mod proxy;
mod record;
mod rows;
mod server;
mod stage;

use std::net::TcpListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use claviger::config;

use ground::Ground;
use postgres::Template;
use rows::ROWS;
use stage::{Line, Lost, Row, Skipped};

fn main() -> ExitCode {
    // `cargo bench` adds `--bench`.
    let words: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let chosen = ROWS.iter().filter(|(name, _)| words.is_empty() || words.iter().any(|word| name.contains(word)));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    let template = Arc::new(Template::make(Arc::new(Ground::new())));
    let mut table = String::from(
        "| fault | requests during it | of these answered 503 (or no connection) | wrong answers | tokens lost | \
         seconds to recovery |\n|---|--:|--:|--:|--:|--:|\n",
    );
    let mut passed = true;
    for (name, row) in chosen {
        eprintln!("{name}");
        let started = Instant::now();
        // A row that breaks down does not take the others with it.
        let outcome = catch_unwind(AssertUnwindSafe(|| runtime.block_on(row(Arc::clone(&template)))));
        let (cells, good) = outcome.map_or_else(|_said| ("BROKEN DOWN | | | |".to_owned(), false), cells);
        eprintln!("  {cells} | after {:.0} s in all", started.elapsed().as_secs_f64());
        table.extend(["| ", name, " | ", &cells, " |\n"]);
        passed &= good;
    }
    println!("\n{table}");
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The cells of a row, and whether all is well with it.
fn cells(row: Row) -> (String, bool) {
    match row {
        Ok(line) => (line_cells(&line), is_good(&line)),
        Err(Skipped { lacks, remedy }) => {
            eprintln!("\n*** SKIPPED, NOT PASSED: THIS NEEDS {lacks}. TO RUN IT: {remedy} ***\n");
            (format!("SKIPPED: needs {lacks} | | | |"), !config::environment().contains_key("CI"))
        }
    }
}

fn line_cells(line: &Line) -> String {
    let lost = match line.lost {
        Lost::Tokens(count) => count.to_string(),
        Lost::AllByDesign => "all, by design".to_owned(),
        Lost::NotAsked => "–".to_owned(),
    };
    let recovery = line.recovery.map_or("NEVER".to_owned(), |time| format!("{:.1}", time.as_secs_f64()));
    format!("{} | {} | {} | {lost} | {recovery}", line.requests, line.failed, line.wrong)
}

fn is_good(line: &Line) -> bool {
    line.wrong == 0 && !matches!(line.lost, Lost::Tokens(1..)) && line.recovery.is_some()
}

/// A port for each server, below those that the kernel gives to outgoing connections.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap();
    let mut candidates = std::iter::repeat_with(|| start + NEXT.fetch_add(1, Ordering::Relaxed));
    candidates.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap()
}

/// Waits for what must come, and fails when it does not within a time that only a fault can take.
async fn wait_until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !condition().await {
        assert!(started.elapsed() < Duration::from_mins(1), "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
