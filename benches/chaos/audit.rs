//! After the fault: is everything there that was confirmed, and is nothing stuck?

use std::cmp::Reverse;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::json;
use uuid::Uuid;

use crate::caller::{Answer, Caller, Reply, Request};
use crate::client::PASSWORD;
use crate::ledger::{Ended, Held};
use crate::record::Record;
use crate::server::Server;
use crate::stage::Stage;

/// For each server. A migration has one more.
const POOL_SIZE: i64 = 10;
/// One after the other, when nobody else asks.
const CALLS: usize = 30;
/// So many missing answers say enough.
const MANY: usize = 3;
/// As a client's number.
const AUDITOR: usize = 99;
const SETTLED: Duration = Duration::from_secs(5);
const SLOW: Duration = Duration::from_secs(1);

/// Checks everything and notes what is wrong; says how many tokens are lost.
pub(crate) async fn hold_to_account(stage: &mut Stage, record: &Record) -> usize {
    tell_reasons(stage);
    let sessions = stage.load.ledger.sessions();
    let missing = missing_rows(stage, &sessions, record).await;
    let mut auditor = Auditor { caller: stage.load.caller(AUDITOR), lost: missing, unanswered: 0 };
    for session in &sessions {
        if auditor.unanswered > MANY {
            break;
        }
        if stage.load.ledger.is_void(session.asked) {
            auditor.expect(session, 401, Some("refresh_token_invalid")).await;
        } else {
            auditor.check_session(session).await;
        }
    }
    for made in stage.load.ledger.accounts() {
        if auditor.unanswered <= MANY && !stage.load.ledger.is_void(made.asked) {
            auditor.check_account(&made.email).await;
        }
    }
    auditor.check_speed(stage, record).await;
    check_connections(stage, record).await;
    for server in &mut stage.servers {
        if !server.is_running() {
            record.wrong(format!("{} has ended: {}", server.address, server.last_words()));
        }
        if !server.is_ready().await {
            record.wrong(format!("{} is not ready: {}", server.address, server.last_words()));
        }
        server.bugs().into_iter().for_each(|bug| record.wrong(bug));
    }
    auditor.lost
}

/// What the servers gave as reasons for their 503, the most frequent ones.
fn tell_reasons(stage: &Stage) {
    let mut counts: HashMap<String, usize> = HashMap::new();
    for reason in stage.servers.iter().flat_map(Server::reasons) {
        *counts.entry(reason).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| Reverse(*count));
    counts.iter().take(4).for_each(|(reason, count)| eprintln!("  {count:>5} × {reason}"));
}

/// How many tokens were given that the database does not know of.
async fn missing_rows(stage: &Stage, sessions: &[Held], record: &Record) -> usize {
    let given: Vec<&Held> = sessions.iter().filter(|session| !stage.load.ledger.is_void(session.asked)).collect();
    let ids: Vec<Uuid> = given.iter().map(|session| session.session_id).collect();
    let database = stage.postgres.admin("claviger").await;
    let rows = database.query("select id, generation from sessions where id = any($1)", &[&ids]).await.unwrap();
    let rows: HashMap<Uuid, i64> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let is_there = |session: &Held| {
        rows.get(&session.session_id).is_some_and(|generation| *generation >= i64::from(session.generation))
    };
    let missing: Vec<_> = given.into_iter().filter(|session| !is_there(session)).collect();
    for session in &missing {
        record.wrong(format!("given and not committed: {session:?}, row at {:?}", rows.get(&session.session_id)));
    }
    missing.len()
}

struct Auditor {
    caller: Caller,
    lost: usize,
    unanswered: usize,
}

impl Auditor {
    async fn check_session(&mut self, session: &Held) {
        match session.ended {
            Ended::Yes => self.expect(session, 401, Some("session_ended")).await,
            Ended::Perhaps => {}
            Ended::No => {
                if self.expect_status(session, 200, None).await == Some(401) {
                    self.lost += 1;
                }
            }
        }
    }

    async fn expect(&mut self, session: &Held, status: u16, code: Option<&str>) {
        self.expect_status(session, status, code).await;
    }

    /// Refreshes, with the stored key where one has had no answer.
    async fn expect_status(&mut self, session: &Held, status: u16, code: Option<&str>) -> Option<u16> {
        let body = Some(json!({ "refresh_token": session.refresh_token }));
        let key = session.key.clone();
        let answer = self.ask(&Request { body, path: "/api/auth/refresh", key, bearer: None }).await?;
        if answer.status != status || answer.body["code"].as_str() != code {
            self.caller.wrong(format!("afterwards the token of {session:?} gave {answer:?}"));
        }
        Some(answer.status)
    }

    async fn check_account(&mut self, email: &str) {
        let body = Some(json!({ "email": email, "password": PASSWORD }));
        let answer = self.ask(&Request { body, path: "/api/auth/login", ..Request::default() }).await;
        if answer.as_ref().is_some_and(|answer| answer.status != 200) {
            self.caller.wrong(format!("afterwards a login of {email} gave {answer:?}"));
        }
    }

    /// Whether each server serves quickly, one call after the other.
    async fn check_speed(&mut self, stage: &Stage, record: &Record) {
        for server in &stage.servers {
            let mut caller = stage.load.caller_of(server.address);
            let email = format!("{}@example.com", Uuid::new_v4().simple());
            let body = Some(json!({ "email": email, "password": PASSWORD }));
            let mut request = Request { body, path: "/api/auth/register", ..Request::default() };
            for _ in 0..CALLS {
                let started = Instant::now();
                let answer = match caller.send(&request).await {
                    Reply::Answered(answer) => answer,
                    Reply::Failed(instead) => {
                        record.wrong(format!("afterwards {} of {} gave {instead}", request.path, server.address));
                        break;
                    }
                };
                let text = |name: &str| answer.body[name].as_str().map(str::to_owned);
                if started.elapsed() > SLOW || answer.status > 201 {
                    record.wrong(format!("afterwards, after {:?}: {answer:?}", started.elapsed()));
                    break;
                }
                self.check_me(&mut caller, text("access_token").unwrap_or_default()).await;
                let body = Some(json!({ "refresh_token": text("refresh_token") }));
                request = Request { body, path: "/api/auth/refresh", ..Request::default() };
            }
        }
    }

    async fn check_me(&self, caller: &mut Caller, access_token: String) {
        let request = Request { path: "/api/auth/me", bearer: Some(access_token), ..Request::default() };
        let started = Instant::now();
        match caller.send(&request).await {
            Reply::Answered(answer) if answer.status == 200 && started.elapsed() < SLOW => {}
            reply @ (Reply::Answered(_) | Reply::Failed(_)) => {
                caller.wrong(format!("afterwards, after {:?}, me gave {reply:?}", started.elapsed()));
            }
        }
    }

    /// Nothing may fail any more.
    async fn ask(&mut self, request: &Request) -> Option<Answer> {
        match self.caller.send(request).await {
            Reply::Answered(answer) => Some(answer),
            Reply::Failed(instead) => {
                self.unanswered += 1;
                self.caller.wrong(format!("afterwards {} is still not answered: {instead}", request.path));
                None
            }
        }
    }
}

/// Whether connections of the service are as many as they may be, and idle, as nobody asks anything.
async fn check_connections(stage: &Stage, record: &Record) {
    let stuck = "select count(*) from pg_stat_activity where usename = 'claviger' and application_name = 'claviger'
                 and state <> 'idle' and state_change < clock_timestamp() - interval '1 second'";
    let all = "select count(*) from pg_stat_activity where usename = 'claviger' and application_name = 'claviger'";
    let most = i64::try_from(stage.servers.len()).unwrap() * POOL_SIZE;
    let started = Instant::now();
    loop {
        let (stuck, all) =
            (stage.postgres.number("postgres", stuck).await, stage.postgres.number("postgres", all).await);
        if stuck == 0 && all <= most {
            return;
        }
        // A server that found the schema gone looks once more a second later, on a connection of its own.
        if started.elapsed() > SETTLED {
            record.wrong(format!("{all} connections where {most} may be, {stuck} of them stuck"));
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
