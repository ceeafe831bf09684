//! Many at once, on two server processes over one database.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::sync::Barrier;

use crate::support::{Account, Anonymous, PASSWORD, ServerProcess, TestDatabase, delete, disable};

const ROUNDS: usize = 300;
const AT_ONCE: usize = 24;

struct TwoServers {
    database: TestDatabase,
    servers: [ServerProcess; 2],
}

impl TwoServers {
    async fn start() -> Self {
        let database = TestDatabase::migrated().await;
        let first = ServerProcess::ready(&database.url, &[]).await;
        let second = ServerProcess::ready(&database.url, &[]).await;
        Self { database, servers: [first, second] }
    }

    /// Callers with connections of their own, by turns to one server and the other.
    fn callers(&self, count: usize) -> Vec<Anonymous> {
        (0..count).map(|index| self.servers[index % 2].anonymous()).collect()
    }

    async fn login(&self, email: &str) -> Account {
        let caller = self.servers[0].anonymous();
        Account::of(caller.clone(), email, &caller.login(email, PASSWORD).await)
    }
}

/// Brings a contestant to the moment at which it loses about as often as it wins, however fast the machine: it starts
/// later each time it came first and earlier each time it came last, by steps that shrink when the outcome changes.
struct Aim {
    start_micros: i64,
    step_micros: i64,
    was_first: Option<bool>,
}

impl Aim {
    const fn new() -> Self {
        Self { start_micros: 0, step_micros: 500, was_first: None }
    }

    fn learn(&mut self, was_first: bool) {
        self.step_micros = match self.was_first.replace(was_first) {
            Some(before) if before != was_first => (self.step_micros / 2).max(100),
            Some(_) => (self.step_micros * 3 / 2).min(50_000),
            None => self.step_micros,
        };
        self.start_micros += if was_first { self.step_micros } else { -self.step_micros };
    }
}

/// How long each contestant, and at last whom they meet, waits for its start; one of them does not wait at all.
fn pauses<const N: usize>(aims: [&Aim; N]) -> ([Duration; N], Duration) {
    let earliest = aims.iter().map(|aim| aim.start_micros).fold(0, i64::min);
    let pause = |start: i64| Duration::from_micros((start - earliest).unsigned_abs());
    (aims.map(|aim| pause(aim.start_micros)), pause(0))
}

async fn after<T>(pause: Duration, what: impl Future<Output = T>) -> T {
    tokio::time::sleep(pause).await;
    what.await
}

/// Presents a token on every caller at the same moment; gives status and successor of each.
async fn present(callers: &[Anonymous], token: &str) -> Vec<(u16, Option<String>)> {
    let barrier = Arc::new(Barrier::new(callers.len()));
    let uses = callers.iter().map(|caller| {
        let (caller, token, barrier) = (caller.clone(), token.to_owned(), Arc::clone(&barrier));
        tokio::spawn(async move {
            barrier.wait().await;
            let answer = caller.refresh(&token).await;
            (answer.status.as_u16(), answer.body["refresh_token"].as_str().map(str::to_owned))
        })
    });
    let mut answers = Vec::new();
    for one in uses.collect::<Vec<_>>() {
        answers.push(one.await.unwrap());
    }
    answers
}

fn successes(answers: &[(u16, Option<String>)]) -> usize {
    answers.iter().filter(|(status, _)| *status == 200).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn p5_simultaneous_uses_of_one_token_all_get_its_one_successor() {
    let two = TwoServers::start().await;
    let callers = two.callers(AT_ONCE);
    let mut token = two.servers[0].anonymous().register("ada@example.com").await.refresh_token;
    for round in 0..ROUNDS {
        let answers = present(&callers, &token).await;

        let (status, successor) = &answers[0];
        assert_eq!(*status, 200, "round {round}");
        assert!(answers.iter().all(|answer| *answer == answers[0]), "round {round}: {answers:?}");
        token = successor.clone().unwrap();
        two.database.close_grace_windows().await;
    }
    let row = &two.database.rows("select generation, ended_at is null from sessions").await[0];
    assert_eq!((row.get::<_, i64>(0), row.get::<_, bool>(1)), (ROUNDS as i64, true));
}

/// Races refreshes of a fresh session against something that ends it, and looks that nothing lives afterwards.
async fn nothing_lives_after(two: &TwoServers, end: impl AsyncFn(&Account)) {
    let callers = two.callers(6);
    let email = "ada@example.com";
    two.servers[0].anonymous().register(email).await;
    let mut aim = Aim::new();
    let (mut won, mut lost) = (0, 0);
    for round in 0..ROUNDS {
        two.database.execute("update users set disabled_at = null").await;
        let account = two.login(email).await;

        let ([start], end_start) = pauses([&aim]);
        let refreshes = after(start, present(&callers, &account.refresh_token));
        let (answers, ()) = tokio::join!(refreshes, after(end_start, end(&account)));
        aim.learn(2 * successes(&answers) > answers.len());

        let alive = two.database.number("select count(*) from sessions where ended_at is null").await;
        assert_eq!(alive, 0, "round {round}: {answers:?}");
        for (status, successor) in answers {
            assert!(matches!(status, 200 | 401), "round {round}: {status}");
            if status == 200 {
                won += 1;
            } else {
                lost += 1;
            }
            if let Some(successor) = successor {
                assert_eq!(callers[1].refresh(&successor).await.status, 401, "round {round}");
            }
        }
    }
    assert!(won > 0 && lost > 0, "the race was none: {won} refreshes won, {lost} lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn p10_no_refresh_survives_a_logout_everywhere() {
    let two = TwoServers::start().await;
    nothing_lives_after(&two, async |account: &Account| {
        assert_eq!(account.logout_all(json!({})).await.status, 200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p10_no_refresh_survives_a_disabled_account() {
    let two = TwoServers::start().await;
    let store = claviger::store::Store::new(&two.database.settings()).unwrap();
    nothing_lives_after(&two, async |account: &Account| {
        assert!(disable(&store, &account.email).await.is_some());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p10_no_refresh_and_no_login_survives_a_deleted_account() {
    const ROUNDS: usize = 80;
    let two = TwoServers::start().await;
    let store = claviger::store::Store::new(&two.database.settings()).unwrap();
    let callers = two.callers(6);
    let email = "ada@example.com";
    let (mut refresh_aim, mut login_aim) = (Aim::new(), Aim::new());
    let mut outcomes = BTreeMap::new();
    for round in 0..ROUNDS {
        let account = two.servers[round % 2].anonymous().register(email).await;

        let ([refresh_start, login_start], end_start) = pauses([&refresh_aim, &login_aim]);
        let login = async { callers[1].login(email, PASSWORD).await.status.as_u16() };
        let (answers, status, deleted) = tokio::join!(
            after(refresh_start, present(&callers, &account.refresh_token)),
            after(login_start, login),
            after(end_start, delete(&store, account.user_id()))
        );
        refresh_aim.learn(2 * successes(&answers) > answers.len());
        login_aim.learn(status == 200);

        assert!(deleted, "round {round}");
        assert_eq!(two.database.number("select count(*) from sessions").await, 0, "round {round}: {answers:?}");
        let issued_late = "select count(*) from events e join deleted_users d on d.id = e.user_id
                           where e.kind = 'logged_in' and e.occurred_at > d.deleted_at";
        assert_eq!(two.database.number(issued_late).await, 0, "round {round}");
        for (status, successor) in answers {
            *outcomes.entry(("refresh", status)).or_insert(0) += 1;
            if let Some(successor) = successor {
                assert_eq!(callers[1].refresh(&successor).await.status, 401, "round {round}");
            }
        }
        *outcomes.entry(("login", status)).or_insert(0) += 1;
    }
    for outcome in [("refresh", 200), ("refresh", 401), ("login", 200), ("login", 401)] {
        assert!(outcomes.contains_key(&outcome), "the race was none: {outcomes:?}");
    }
    assert_eq!(outcomes.len(), 4, "{outcomes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn p10_no_refresh_and_no_login_survives_a_password_change() {
    const ROUNDS: usize = 100;
    let two = TwoServers::start().await;
    let callers = two.callers(6);
    let email = "ada@example.com";
    let laptop = two.servers[1].anonymous().register(email).await;
    let (mut refresh_aim, mut login_aim) = (Aim::new(), Aim::new());
    let mut outcomes = BTreeMap::new();
    for round in 0..ROUNDS {
        let password = |round: usize| if round == 0 { PASSWORD.to_owned() } else { format!("password number {round}") };
        let (old, new) = (password(round), password(round + 1));
        let phone = Account::of(callers[0].clone(), email, &callers[0].login(email, &old).await);

        let ([refresh_start, login_start], change_start) = pauses([&refresh_aim, &login_aim]);
        let change = async {
            let body = json!({"current_password": old, "new_password": new});
            let answer = laptop.call(Method::POST, "/api/auth/password", body).await;
            assert_eq!(answer.status, 200, "round {round}: {answer:?}");
        };
        let login = async { callers[1].login(email, &old).await.status.as_u16() };
        let (answers, status, ()) = tokio::join!(
            after(refresh_start, present(&callers, &phone.refresh_token)),
            after(login_start, login),
            after(change_start, change)
        );
        refresh_aim.learn(2 * successes(&answers) > answers.len());
        login_aim.learn(status == 200);

        let alive = two.database.number("select count(*) from sessions where ended_at is null").await;
        assert_eq!(alive, 1, "round {round}: {answers:?}, login {status}");
        for (status, successor) in answers {
            *outcomes.entry(("refresh", status)).or_insert(0) += 1;
            if let Some(successor) = successor {
                assert_eq!(callers[1].refresh(&successor).await.status, 401, "round {round}");
            }
        }
        *outcomes.entry(("login", status)).or_insert(0) += 1;
    }
    for outcome in [("refresh", 200), ("refresh", 401), ("login", 200), ("login", 401)] {
        assert!(outcomes.contains_key(&outcome), "the race was none: {outcomes:?}");
    }
    assert_eq!(outcomes.len(), 4, "{outcomes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn p10_no_login_before_a_logout_everywhere_survives_it() {
    const ROUNDS: usize = 150;
    let two = TwoServers::start().await;
    let email = "ada@example.com";
    two.servers[0].anonymous().register(email).await;
    let mut aim = Aim::new();
    let mut survived = 0;
    for round in 0..ROUNDS {
        let laptop = two.login(email).await;
        let caller = two.servers[1].anonymous();
        let ([login_start], ending_start) = pauses([&aim]);
        let (login, ending) = tokio::join!(
            after(login_start, caller.login(email, PASSWORD)),
            after(ending_start, laptop.logout_all(json!({})))
        );
        assert_eq!((login.status, ending.status), (StatusCode::OK, StatusCode::OK), "round {round}");
        let early = format!(
            "select count(*) from sessions where ended_at is null
             and created_at < (select ended_at from sessions where id = '{}')",
            laptop.session_id
        );
        assert_eq!(two.database.number(&early).await, 0, "round {round}");
        let alive = two.database.number("select count(*) from sessions where ended_at is null").await;
        aim.learn(alive == 0);
        survived += alive;
        two.database.execute("delete from sessions").await;
    }
    assert!((1..ROUNDS as i64).contains(&survived), "the race was none: {survived} logins came later");
}

#[tokio::test]
async fn p11_what_one_process_decided_every_other_knows() {
    let two = TwoServers::start().await;
    let [one, other] = two.servers.each_ref().map(ServerProcess::anonymous);
    let account = one.register("ada@example.com").await;

    let rotated = one.refresh(&account.refresh_token).await;
    let repeated = other.refresh(&account.refresh_token).await;
    assert_eq!(repeated.text("refresh_token"), rotated.text("refresh_token"));
    two.database.close_grace_windows().await;
    let successor = other.refresh(rotated.text("refresh_token")).await;
    assert_eq!(successor.status, 200, "{successor:?}");

    one.refresh(&account.refresh_token).await.assert_problem(401, "refresh_token_replayed");
    other.refresh(successor.text("refresh_token")).await.assert_problem(401, "session_ended");
}
