//! Faults of Postgres' processes, machine and disk.

use std::fs::{self, File};
use std::io::Write as _;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{LIMIT, LIMIT_OF_START, pause};
use crate::postgres::{Postgres, Template};
use crate::stage::{Row, Skipped, Stage};
use crate::wait_until;

pub(super) async fn killed(template: Arc<Template>) -> Row {
    let mut stage = Stage::set(&template, &[]).await;
    stage.begin();
    stage.postgres.kill().await;
    pause(2_000).await;
    stage.postgres.start().await;
    stage.finish(LIMIT).await
}

pub(super) async fn restarted(template: Arc<Template>) -> Row {
    let mut stage = Stage::set(&template, &[]).await;
    stage.begin();
    stage.postgres.stop().await;
    stage.postgres.start().await;
    stage.finish(LIMIT).await
}

pub(super) async fn frozen(template: Arc<Template>) -> Row {
    let mut stage = Stage::set(&template, &[]).await;
    stage.begin();
    stage.postgres.signal(Signal::STOP);
    pause(10_000).await;
    stage.postgres.signal(Signal::CONT);
    stage.finish(LIMIT).await
}

pub(super) async fn failed_over(template: Arc<Template>) -> Row {
    let (mut stage, standby) = with_standby(&template).await;
    stage.begin();
    stage.postgres.kill().await;
    pause(2_000).await;
    promote(&mut stage, standby).await;
    stage.finish(LIMIT).await
}

/// The primary's machine is gone in the worst way: connections to it open, and nothing comes.
pub(super) async fn failed_over_from_silence(template: Arc<Template>) -> Row {
    let (mut stage, standby) = with_standby(&template).await;
    stage.begin();
    stage.postgres.signal(Signal::STOP);
    pause(2_000).await;
    let _silent = promote(&mut stage, standby).await;
    stage.finish(LIMIT).await
}

/// The service knows both, and takes the one that can be written to. What is confirmed is on both.
async fn with_standby(template: &Arc<Template>) -> (Stage, Postgres) {
    let mut primary = Postgres::prepare(template, "primary", &[]);
    primary.start().await;
    let mut standby = Postgres::prepare_standby(&primary, "standby");
    standby.start().await;
    // Not in a file: the standby would copy it, and wait for a standby of its own when it is the primary.
    primary.stop().await;
    primary.set("synchronous_standby_names=*");
    primary.start().await;
    let in_step = "select count(*) from pg_stat_replication where sync_state = 'sync'";
    wait_until("the standby follows", async || primary.number("postgres", in_step).await == 1).await;
    let hosts = format!("127.0.0.1:{},127.0.0.1:{}", primary.port, standby.port);
    let url = format!("{}&target_session_attrs=read-write", primary.url_at(&hosts, "claviger"));
    (Stage::with_url(template, primary, &url).await, standby)
}

/// Makes the standby the primary, and gives back the old one, which must never be heard of again.
async fn promote(stage: &mut Stage, standby: Postgres) -> Postgres {
    let old = std::mem::replace(&mut stage.postgres, standby);
    let promoted = stage.postgres.number("postgres", "pg_promote()::int").await;
    assert_eq!(promoted, 1, "the standby is promoted");
    old
}

/// Full to the last byte, until Postgres has stopped, as it does when it cannot write its log, or for 10 s.
pub(super) async fn disk_full(template: Arc<Template>) -> Row {
    let folder = template.ground.folder_for_postgres("small");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=128m", "none"]).arg(&folder).output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        return Err(Skipped { lacks: "the right to mount a tmpfs", remedy: "run it as root" });
    }
    template.ground.give_to_postgres(&folder);
    // No segments in store, so that it has to make one soon.
    let settings = ["wal_recycle=off", "min_wal_size=2MB"];
    let postgres = Postgres::prepare_in(&template, folder.clone(), &settings);
    let mut stage = Stage::on(postgres, &template).await;
    stage.begin();
    let filler = folder.join("filler");
    let started = Instant::now();
    while !stage.postgres.has_ended() && started.elapsed() < Duration::from_secs(10) {
        // Again and again, as what others remove makes room.
        fill(&filler);
        pause(20).await;
    }
    eprintln!("  Postgres has {}", if stage.postgres.has_ended() { "stopped" } else { "kept running" });
    fs::remove_file(&filler).unwrap();
    if stage.postgres.has_ended() {
        stage.postgres.start().await;
    }
    stage.postgres.wait_until_ready().await;
    let line = stage.finish(LIMIT_OF_START).await;
    drop(Command::new("umount").arg(&folder).status());
    line
}

fn fill(path: &std::path::Path) {
    let mut file = File::options().create(true).append(true).open(path).unwrap();
    for size in [1 << 20, 1 << 12, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
}
