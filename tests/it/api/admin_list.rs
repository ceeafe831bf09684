//! The list of users, part by part.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::Value;

use crate::support::{Account, Answer, TestApp, TestDatabase};

async fn list(admin: &Account, query: &str) -> Answer {
    admin.call(Method::GET, &format!("/api/admin/users{query}"), Value::Null).await
}

fn emails(answer: &Answer) -> Vec<&str> {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body["users"].as_array().unwrap().iter().map(|user| user["email"].as_str().unwrap()).collect()
}

/// Reads a list to its end.
async fn all(admin: &Account, query: &str) -> Vec<String> {
    let (mut found, mut place) = (Vec::new(), String::new());
    loop {
        let part = list(admin, &format!("{query}{place}")).await;
        found.extend(emails(&part).into_iter().map(str::to_owned));
        match part.body["next"].as_str() {
            Some(next) => place = format!("&before={next}"),
            None => return found,
        }
    }
}

#[tokio::test]
async fn users_are_listed_newest_first_as_they_are() {
    let app = TestApp::start().await;
    let admin = app.administrator("root@example.com").await;
    let ada = app.register("ada@example.com").await;

    let answer = list(&admin, "").await;

    assert_eq!(emails(&answer), ["ada@example.com", "root@example.com"]);
    assert_eq!(answer.body["users"][0], ada.me().await.body);
    assert_eq!(answer.body["next"], Value::Null);
}

#[tokio::test]
async fn a_long_list_of_users_made_at_one_moment_comes_in_parts_without_gaps_or_repetitions() {
    let app = TestApp::start().await;
    let admin = app.administrator("root@example.com").await;
    app.database
        .execute(
            "insert into users (id, email, password_hash, full_name, created_at)
             select gen_random_uuid(), 'u' || n || '@example.com', '', case when n % 10 = 0 then 'Tenth' end,
                    date_trunc('day', now()) - (n / 100) * interval '1 second'
             from generate_series(1, 1000) n",
        )
        .await;
    for (query, count) in [("?limit=7", 1001), ("?limit=50&search=tenth", 100), ("?limit=200&role=user", 1000)] {
        let found = all(&admin, query).await;
        let distinct: BTreeSet<_> = found.iter().collect();
        assert_eq!((found.len(), distinct.len()), (count, count), "{query}");
    }
}

#[tokio::test]
async fn a_search_finds_parts_of_addresses_and_names_in_any_case_and_takes_wildcards_literally() {
    let app = TestApp::start().await;
    let admin = app.administrator("root@example.com").await;
    app.database
        .execute(
            "insert into users (id, email, password_hash, full_name, created_at)
             select gen_random_uuid(), email, '', name, now() - n * interval '1 minute'
             from (values (1, 'ada@lovelace.example', 'Ada Lovelace'), (2, 'a_b@example.org', 'Percy 100%'),
                          (3, 'axb@example.org', 'Percy 1000'), (4, 'back\\slash@example.org', null)) v(n, email, name)",
        )
        .await;
    for (search, found) in [
        ("LOVE", vec!["ada@lovelace.example"]),
        ("a%20love", vec!["ada@lovelace.example"]),
        ("a_b", vec!["a_b@example.org"]),
        ("100%25", vec!["a_b@example.org"]),
        ("percy", vec!["a_b@example.org", "axb@example.org"]),
        ("%5C", vec!["back\\slash@example.org"]),
        ("'%20or%20true", vec![]),
        ("nobody", vec![]),
    ] {
        assert_eq!(emails(&list(&admin, &format!("?search={search}")).await), found, "{search}");
    }
    assert_eq!(emails(&list(&admin, "?search=").await).len(), 5);
}

#[tokio::test]
async fn filters_go_together() {
    let app = TestApp::start().await;
    let admin = app.administrator("root@example.com").await;
    app.administrator("boss@example.com").await;
    app.register("ada@example.com").await;
    app.register("eve@example.com").await;
    app.database
        .execute("update users set disabled_at = now() where email in ('boss@example.com', 'eve@example.com')")
        .await;
    for (query, found) in [
        ("?role=admin", vec!["boss@example.com", "root@example.com"]),
        ("?status=disabled", vec!["eve@example.com", "boss@example.com"]),
        ("?status=active&role=user", vec!["ada@example.com"]),
        ("?status=disabled&role=admin&search=BOSS", vec!["boss@example.com"]),
        ("?status=active&role=admin&search=boss", vec![]),
    ] {
        assert_eq!(emails(&list(&admin, query).await), found, "{query}");
    }
}

#[tokio::test]
async fn what_cannot_be_listed_is_told_field_by_field() {
    let app = TestApp::start().await;
    let admin = app.administrator("root@example.com").await;
    let everything = "?search=a%00b&role=king&status=asleep&limit=201&before=yesterday";
    list(&admin, everything).await.assert_invalid(&[
        ("search", "invalid_text"),
        ("role", "unknown_value"),
        ("status", "unknown_value"),
        ("limit", "out_of_range"),
        ("before", "invalid_place"),
    ]);
    let long = format!("?search={}", "x".repeat(201));
    list(&admin, &long).await.assert_invalid(&[("search", "too_long")]);
    for limit in ["0", "-1", "many", ""] {
        list(&admin, &format!("?limit={limit}")).await.assert_invalid(&[("limit", "out_of_range")]);
    }
}

#[tokio::test]
async fn a_search_looks_through_many_users_in_several_statements() {
    let app = TestApp::on(TestDatabase::counting().await, &[]).await;
    let admin = app.administrator("root@example.com").await;
    app.database
        .execute(
            "insert into users (id, email, password_hash, created_at)
             select gen_random_uuid(), 'u' || n || '@example.com', '', now() - interval '1 year' - n * interval '1 second'
             from generate_series(1, 45000) n",
        )
        .await;
    app.database.statements().await;
    let answer = list(&admin, "?search=u44444@").await;
    assert_eq!(emails(&answer), ["u44444@example.com"]);
    assert_eq!(app.database.statements().await, 1 + 3, "who asks, and twenty thousand users each");
}
