//! What users, sessions and calls cost: bytes of tables, bytes of write-ahead log, milliseconds of processors. docs/scaling.md
//! counts with these figures.
//!
//! `make footprint`, or `cargo bench --bench footprint -- 100000 2000` for so many users and calls of each kind. The built server
//! and a durable Postgres of its own are measured as processes, so what the callers here take does not count. Fails when a call
//! fails.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "a benchmark that panics has failed, and prints what it has measured"
)]

mod calls;
mod postgres;
mod processes;
mod server;

use std::time::Instant;

use calls::{Call, Crowd};
use postgres::Postgres;
use processes::Machine;
use server::Server;

/// Each has one session.
const USERS: u32 = 1_000_000;
const CALLS: usize = 5_000;
/// Of those that hash a password, which take a hundred times as long.
const SIGN_INS: usize = 50;
/// How often every session is refreshed before tables are measured.
const ROUNDS: u32 = 3;

#[tokio::main]
async fn main() {
    // `cargo bench` adds `--bench`.
    let mut numbers = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let users = numbers.next().map_or(USERS, |text| text.parse().expect("a number of users"));
    let calls = numbers.next().map_or(CALLS, |text| text.parse().expect("a number of calls"));

    let postgres = Postgres::start().await;
    let mut server = Server::start(&postgres.url(), 12).await;
    println!("{}, {}\n", Machine::name(), postgres.version().await);
    postgres.fill(users, &server.password_hash(&postgres).await).await;
    postgres.churn(ROUNDS).await;
    print_rows(&postgres).await;
    let crowd = Crowd::pick(&postgres, &server, calls).await;
    print_log(&postgres, &crowd).await;
    print_calls(&postgres, &server, &crowd, calls).await;
    print_memory(&postgres, &server).await;
    server.stop();
}

/// Bytes of a row in each table, with its share of free space and indexes.
async fn print_rows(postgres: &Postgres) {
    println!(
        "| table | rows | bytes of a row | of its indexes | updates that touched no index |\n|---|--:|--:|--:|--:|"
    );
    for table in ["users", "sessions", "events"] {
        let size = postgres.size(table).await;
        let of_row = |bytes: i64| bytes as f64 / size.rows as f64;
        let hot = size.hot.map_or("-".to_owned(), |share| format!("{:.1} %", share * 100.0));
        println!("| {table} | {} | {:.0} | {:.0} | {hot} |", size.rows, of_row(size.heap), of_row(size.indexes));
    }
    println!();
}

/// Bytes of write-ahead log that a refresh takes: the first one of a page after a checkpoint has the page in it.
async fn print_log(postgres: &Postgres, crowd: &Crowd) {
    println!("| refresh | bytes of write-ahead log |\n|---|--:|");
    for (compression, name) in
        [("off", "first of its page after a checkpoint"), ("lz4", "the same, wal_compression = lz4")]
    {
        postgres.set("wal_compression", compression).await;
        postgres.checkpoint().await;
        println!("| {name} | {:.0} |", log_of_a_call(postgres, crowd, Call::Refresh).await);
        if compression == "off" {
            println!("| later ones | {:.0} |", log_of_a_call(postgres, crowd, Call::Refresh).await);
        }
    }
    postgres.set("wal_compression", "off").await;
    println!();
}

async fn log_of_a_call(postgres: &Postgres, crowd: &Crowd, call: Call) -> f64 {
    let before = postgres.log().await;
    crowd.call_each(call, crowd.len()).await;
    (postgres.log().await - before) as f64 / crowd.len() as f64
}

/// Milliseconds of processors, of the server and of Postgres.
async fn print_calls(postgres: &Postgres, server: &Server, crowd: &Crowd, calls: usize) {
    println!(
        "| call | server, ms of a core | Postgres, ms of a core | bytes of write-ahead log | calls a second here |"
    );
    println!("|---|--:|--:|--:|--:|");
    for (call, number) in [
        (Call::Refresh, calls),
        (Call::Me, calls),
        (Call::Check, calls),
        (Call::Login, SIGN_INS),
        (Call::Register, SIGN_INS),
    ] {
        // Pages and plans are warm then.
        crowd.call_each(call, number / 5).await;
        let (log, started) = (postgres.log().await, Instant::now());
        let before = (server.machine().milliseconds(), postgres.machine().milliseconds());
        crowd.call_each(call, number).await;
        let after = (server.machine().milliseconds(), postgres.machine().milliseconds());
        let number = number as f64;
        println!(
            "| {} | {:.3} | {:.3} | {:.0} | {:.0} |",
            call.name(),
            (after.0 - before.0) / number,
            (after.1 - before.1) / number,
            (postgres.log().await - log) as f64 / number,
            number / started.elapsed().as_secs_f64(),
        );
    }
    println!();
}

async fn print_memory(postgres: &Postgres, server: &Server) {
    println!("| memory | MB |\n|---|--:|");
    println!("| a server, after all that | {:.1} |", server.machine().private_megabytes());
    println!("| a connection, in Postgres | {:.1} |", postgres.megabytes_of_a_connection().await);
}
