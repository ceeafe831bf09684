//! Many at once, on two server processes over one database.

use std::sync::Arc;
use std::time::Duration;

use claviger::domain::email::Email;
use serde_json::json;
use tokio::sync::Barrier;

use crate::support::{Account, Anonymous, PASSWORD, ServerProcess, TestDatabase};

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
    }
    let row = &two.database.rows("select generation, ended_at is null from sessions").await[0];
    assert_eq!((row.get::<_, i64>(0), row.get::<_, bool>(1)), (ROUNDS as i64, true));
}

/// Races refreshes of a fresh session against something that ends it, and looks that nothing lives afterwards.
async fn nothing_lives_after(two: &TwoServers, end: impl AsyncFn(&Account)) {
    let callers = two.callers(6);
    let email = "ada@example.com";
    two.servers[0].anonymous().register(email).await;
    let (mut before, mut after) = (0, 0);
    for round in 0..ROUNDS {
        two.database.execute("update users set disabled_at = null").await;
        let account = two.login(email).await;

        // At another moment each round, so that on every machine some refreshes win and some lose.
        let moment = Duration::from_micros((round % 10) as u64 * 300);
        let ending = async {
            tokio::time::sleep(moment).await;
            end(&account).await;
        };
        let (answers, ()) = tokio::join!(present(&callers, &account.refresh_token), ending);

        let alive = two.database.number("select count(*) from sessions where ended_at is null").await;
        assert_eq!(alive, 0, "round {round}: {answers:?}");
        for (status, successor) in answers {
            assert!(matches!(status, 200 | 401), "round {round}: {status}");
            if status == 200 {
                before += 1;
            } else {
                after += 1;
            }
            if let Some(successor) = successor {
                assert_eq!(callers[1].refresh(&successor).await.status, 401, "round {round}");
            }
        }
    }
    assert!(before > 0 && after > 0, "the race was none: {before} refreshes won, {after} lost");
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
        let email = Email::parse(&account.email).unwrap();
        assert!(claviger::auth::disable::disable(&store, &email).await.unwrap().is_some());
    })
    .await;
}
