//! Whose an address is: the table `addresses` says what `users` say, whoever comes, goes or moves at the same moment.

use std::sync::Arc;

use claviger::auth::Error;
use claviger::auth::import;
use claviger::auth::operate::{self, NewAccount};
use claviger::domain::email::Email;
use claviger::domain::imported::{ImportedUser, Verified};
use claviger::domain::password::PasswordHash;
use claviger::domain::user::{Handle, Role};
use claviger::store::migrations::{grants, migrate};
use claviger::store::{self, Store, users};
use serde_json::json;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use crate::support::{Dice, PASSWORD, TestApp, TestDatabase, delete};

const AT_ONCE: u64 = 8;

fn email(n: usize) -> Email {
    Email::parse(&format!("user{n}@example.com")).unwrap()
}

fn hash() -> PasswordHash {
    PasswordHash::from_stored("{none}".to_owned())
}

/// Everybody has an address, and every address somebody.
async fn assert_consistent(database: &TestDatabase) {
    let pairs = async |sql: &str| -> Vec<(String, Uuid)> {
        database.rows(sql).await.iter().map(|row| (row.get(0), row.get(1))).collect()
    };
    let users = pairs("select email, id from users order by email").await;
    assert_eq!(users, pairs("select email, user_id from addresses order by email").await);
}

/// Somebody comes, goes, moves, or arrives with others; the dice decide.
async fn act(store: &Store, dice: &mut Dice, addresses: usize, is_distributed: bool) {
    let n = dice.below(addresses);
    match dice.below(4) {
        0 => {
            let account = NewAccount {
                email: email(n),
                password_hash: hash(),
                full_name: None,
                role: Role::User,
                verified: false,
            };
            let added = operate::add(store, &account).await;
            assert!(matches!(added, Ok(_) | Err(Error::EmailTaken)), "{added:?}");
        }
        1 => {
            if let Some(user) = operate::find(store, &Handle::Email(email(n))).await.unwrap() {
                delete(store, user.id).await;
            }
        }
        2 => move_up(store, n, n + 1 + dice.below(addresses - n)).await,
        _ => {
            let arriving = [n, n, n + 1].map(|n| ImportedUser {
                id: (n % 2 == 0).then(|| Uuid::from_u128(n as u128 + 1)),
                email: email(n),
                password_hash: hash(),
                full_name: None,
                role: Role::User,
                verified: Verified::No,
                is_active: true,
                created_at: None,
                last_login_at: None,
                profile: json!({}),
            });
            match import::add(store, &arriving).await {
                // In several places two that bring the same people at once may wait for each other, and one has to come again.
                Err(Error::DatabaseUnavailable(_)) if is_distributed => {}
                added => drop(added.unwrap()),
            }
        }
    }
}

/// Gives who has an address another one, that comes behind it: in circles people would wait for each other.
async fn move_up(store: &Store, from: usize, to: usize) {
    let Some(user) = operate::find(store, &Handle::Email(email(from))).await.unwrap() else { return };
    let moving = store.transaction(async |transaction| {
        users::lock(transaction, user.id).await?;
        match users::find(transaction, user.id).await? {
            Some(now) if now.email == email(from).as_str() => {
                users::change_email(transaction, user.id, &now.email, email(to).as_str()).await
            }
            _ => Ok(()),
        }
    });
    let moved = moving.await;
    assert!(matches!(moved, Ok(()) | Err(store::Error::Taken(_))), "{moved:?}");
}

/// As a program of the version before does it, which knows nothing of the table.
async fn act_as_before(client: &tokio_postgres::Client, dice: &mut Dice, addresses: usize) {
    let n = dice.below(addresses);
    let (email, next) = (email(n), email(n + 1 + dice.below(addresses - n)));
    let sql = match dice.below(3) {
        0 => format!(
            "insert into users (id, email, password_hash) values ('{}', '{email}', '') on conflict (email) do nothing",
            Uuid::new_v4(),
            email = email.as_str()
        ),
        1 => format!("delete from users where email = '{}'", email.as_str()),
        _ => format!("update users set email = '{}' where email = '{}'", next.as_str(), email.as_str()),
    };
    if let Err(error) = client.batch_execute(&sql).await {
        assert_eq!(error.code(), Some(&SqlState::UNIQUE_VIOLATION), "{sql}: {error:?}");
    }
}

async fn storm(database: &TestDatabase, rounds: usize, with_the_version_before: bool) {
    const ADDRESSES: usize = 6;
    let store = Arc::new(database.owner());
    let mut contestants = Vec::new();
    for seed in 0..AT_ONCE {
        let (store, client, is_distributed) = (Arc::clone(&store), database.client().await, database.is_distributed);
        contestants.push(tokio::spawn(async move {
            let mut dice = Dice(seed);
            for _ in 0..rounds {
                if with_the_version_before && seed % 2 == 0 {
                    act_as_before(&client, &mut dice, ADDRESSES).await;
                } else {
                    act(&store, &mut dice, ADDRESSES, is_distributed).await;
                }
            }
        }));
    }
    for contestant in contestants {
        contestant.await.unwrap();
    }
    assert_consistent(database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_exactly_one_users_however_many_want_it() {
    let database = TestDatabase::migrated().await;
    storm(&database, 100, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_of_the_version_before_keep_the_addresses_too() {
    let database = TestDatabase::private().await;
    storm(&database, 200, true).await;
}

#[tokio::test]
async fn a_serving_role_of_the_version_before_needs_no_other_rights() {
    let database = TestDatabase::private().await;
    let role = format!("{}_before", database.name);
    let grants = grants(&role);
    let before: Vec<&str> = grants.lines().filter(|line| !line.contains(" addresses ")).collect();
    database.execute(&format!("create role {role}; {}", before.join("\n"))).await;
    let mut client = database.client().await;
    let serving = client.transaction().await.unwrap();
    serving.batch_execute(&format!("set local role {role}")).await.unwrap();
    serving
        .batch_execute(
            "insert into users (id, email, password_hash) values
               (gen_random_uuid(), 'ada@example.com', ''), (gen_random_uuid(), 'bob@example.com', '');
             update users set email = 'eve@example.com' where email = 'bob@example.com';
             delete from users where email = 'ada@example.com'",
        )
        .await
        .unwrap();
    serving.commit().await.unwrap();
    assert_consistent(&database).await;
    assert_eq!(database.number("select count(*) from addresses").await, 1);
    let mine = format!(
        "set role {role}; create temp table mine (email text, id uuid);
         create trigger t after insert on mine for each row execute function keep_addresses()"
    );
    let error = database.client().await.batch_execute(&mine).await.expect_err("it is the owner's");
    assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{error:?}");
    database.execute(&format!("drop owned by {role}; drop role {role}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_lost_who_comes_or_goes_while_the_addresses_are_collected() {
    const USERS: usize = 30_000;
    let database = Arc::new(TestDatabase::empty().await);
    database.migrate_to(Some(6)).await;
    database
        .execute(&format!(
            "insert into users (id, email, password_hash)
             select gen_random_uuid(), 'user' || n || '@example.com', '' from generate_series(0, {USERS}) n"
        ))
        .await;
    let settings = database.settings();
    let migrating = tokio::spawn(async move { migrate(&settings, None).await.unwrap() });
    let mut dice = Dice(1);
    let client = database.client().await;
    let mut acts = 0;
    while !migrating.is_finished() {
        act_as_before(&client, &mut dice, USERS).await;
        acts += 1;
    }
    assert!(acts > 10, "it was over before anything happened");
    assert!(migrating.await.unwrap() > 1);
    assert_consistent(&database).await;
}

#[tokio::test]
async fn before_everybody_is_in_the_table_it_answers_for_nobody() {
    let database = TestDatabase::empty().await;
    database.migrate_to(Some(7)).await;
    let app = TestApp::on(database, &[]).await;
    app.anonymous().login("ada@example.com", PASSWORD).await.assert_problem(503, "database_unavailable");
    app.database.migrate_to(None).await;
    app.anonymous().login("ada@example.com", PASSWORD).await.assert_problem(401, "invalid_credentials");
}

#[tokio::test]
async fn an_address_that_nobody_has_takes_the_same_statements() {
    let app = TestApp::on(TestDatabase::counting().await, &[]).await;
    app.register("ada@example.com").await;
    let mut counts = Vec::new();
    for email in ["nobody@example.com", "ada@example.com", "nobody@example.com", "ada@example.com"] {
        app.database.statements().await;
        app.anonymous().login(email, "a wrong password").await.assert_problem(401, "invalid_credentials");
        counts.push(app.database.statements().await);
    }
    assert!(counts.iter().all(|count| *count == counts[0] && *count > 1), "{counts:?}");
}

#[tokio::test]
async fn an_address_that_was_given_up_is_free_and_ones_own_stays() {
    let database = TestDatabase::migrated().await;
    let app = TestApp::on(database, &[]).await;
    let ada = app.register("ada@example.com").await.user_id();
    let change = async |from: &str, to: &str| {
        app.store.transaction(async |transaction| users::change_email(transaction, ada, from, to).await).await
    };
    change("ada@example.com", "ada@example.com").await.unwrap();
    assert_consistent(&app.database).await;
    change("ada@example.com", "lovelace@example.com").await.unwrap();
    app.login("lovelace@example.com").await;
    app.register("ada@example.com").await;
    let taken = change("lovelace@example.com", "ada@example.com").await;
    assert!(matches!(taken, Err(store::Error::Taken(_))), "{taken:?}");
    assert!(delete(&app.store, ada).await);
    app.register("lovelace@example.com").await;
    assert_consistent(&app.database).await;
}
