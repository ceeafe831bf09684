//! How fast the service is, as a share of what this machine can do at all.
//!
//! `make bench`, or `cargo bench --bench speed -- refresh me --sessions 100000 --seconds 3 --rounds 3 --out FOLDER` for some of
//! the works, another size of the table, another length. Each work takes turns with its limit in rounds of the same length, so
//! that both meet the same machine: the ratios say more than the numbers.
//!
//! Two figures for each: how much is done in a second, and how much processor time a thousand requests take, of the server and
//! of Postgres, by the kernel's accounts, against what the work needs at the least. Load, server and Postgres share this
//! machine. The table has a million sessions, and every request is of another one, whose tokens this program holds.
//!
//! Prints a Markdown table and draws it as `speed.svg`. Fails when a request fails. Linux only.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::cast_precision_loss,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark that panics has failed, prints what it has measured, and makes ratios of counts"
)]

mod bare;
mod callers;
mod ground;
mod http;
mod limits;
mod processes;
mod report;
mod users;
mod works;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// What the command line asks for.
struct Plan {
    works: Vec<String>,
    sessions: u32,
    length: Duration,
    rounds: u32,
    out: PathBuf,
}

impl Plan {
    fn parse(arguments: impl Iterator<Item = String>) -> Self {
        let mut plan =
            Self { works: Vec::new(), sessions: 1_000_000, length: Duration::from_secs(5), rounds: 5, out: ".".into() };
        // `cargo bench` adds `--bench`.
        let mut arguments = arguments.filter(|argument| argument != "--bench");
        while let Some(argument) = arguments.next() {
            let mut number = || arguments.next().and_then(|text| text.parse().ok()).expect("a number after the option");
            match argument.as_str() {
                "--sessions" => plan.sessions = number(),
                "--seconds" => plan.length = Duration::from_secs(number().into()),
                "--rounds" => plan.rounds = number(),
                "--out" => plan.out = arguments.next().expect("a folder after --out").into(),
                work => plan.works.push(work.to_owned()),
            }
        }
        plan
    }
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).peekable();
    if arguments.next_if(|argument| argument == bare::ARGUMENT).is_some() {
        return bare::serve();
    }
    let plan = Plan::parse(arguments);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let measured = runtime.block_on(works::measure(&plan));
    println!("{}", report::table(&measured));
    std::fs::write(plan.out.join("speed.svg"), report::chart(&measured)).expect("the chart can be written");
    if measured.failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
