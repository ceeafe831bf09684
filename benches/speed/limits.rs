//! What this machine can do at all: bcrypt, and Postgres asked by its own program.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::ground::{COST, Ground};

/// One row by its primary key, as the service does it at least.
pub(crate) const SELECT: &str = "select generation, rotated_at, filler from bench_rows where id = :id;";
pub(crate) const UPDATE: &str =
    "update bench_rows set generation = generation + 1, rotated_at = clock_timestamp() where id = :id;";

/// Hashes in a second by the crate `bcrypt` on all cores, one at a time on each.
pub(crate) fn bcrypt(length: Duration) -> f64 {
    let hashes = AtomicU32::new(0);
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, std::num::NonZero::get) {
            scope.spawn(|| {
                while started.elapsed() < length {
                    std::hint::black_box(bcrypt::bcrypt(COST, std::hint::black_box([7; 16]), b"correct horse\0"));
                    hashes.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    f64::from(hashes.into_inner()) / started.elapsed().as_secs_f64()
}

/// Transactions in a second of a statement about random rows.
pub(crate) fn pgbench(ground: &Ground, sql: &str, rows: u32, clients: u32, length: Duration) -> f64 {
    let script = std::env::temp_dir().join(format!("claviger-speed-{}.sql", std::process::id()));
    std::fs::write(&script, format!("\\set id random(1, {rows})\n{sql}\n")).unwrap();
    let [clients, seconds] = [u64::from(clients), length.as_secs()].map(|number| number.to_string());
    let output = Command::new(ground.program("pgbench"))
        .args(["--no-vacuum", "--protocol=prepared", "--client", &clients, "--time", &seconds, "--file"])
        .args([script.as_os_str(), ground.url().as_ref()])
        .stderr(Stdio::inherit())
        .output()
        .expect("pgbench, of Postgres' own programs, is there");
    drop(std::fs::remove_file(script));
    let text = String::from_utf8_lossy(&output.stdout);
    let rate = text.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
    rate.unwrap_or_else(|| panic!("pgbench says how many: {text}"))
}
