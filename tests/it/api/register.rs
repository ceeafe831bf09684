use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{PASSWORD, TestApp};

#[tokio::test]
async fn registering_signs_in() {
    let app = TestApp::start().await;
    let body = json!({
        "email": " Ada@Example.COM ", "password": PASSWORD, "full_name": "Ada Lovelace",
        "profile": {"learning_goals": ["engines"], "level": 3}, "from_the_future": true,
    });

    let answer = app.anonymous().post("/api/auth/register", body).await;

    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.body["token_type"], "Bearer");
    assert!((570..=600).contains(&answer.body["expires_in"].as_i64().unwrap()));
    assert_eq!(answer.body["refresh_expires_in"], 7 * 24 * 60 * 60);
    let user = &answer.body["user"];
    assert_eq!(user["email"], "ada@example.com");
    assert_eq!(user["full_name"], "Ada Lovelace");
    assert_eq!(user["profile"], json!({"learning_goals": ["engines"], "level": 3}));
    assert_eq!(
        (&user["role"], &user["is_active"], &user["email_verified"]),
        (&json!("user"), &json!(true), &json!(false))
    );
    assert_eq!(user["created_at"], user["last_login_at"]);
    let me = app.anonymous().me(answer.text("access_token")).await;
    assert_eq!(&me.body, user);
}

#[tokio::test]
async fn the_answer_has_exactly_the_promised_fields() {
    let app = TestApp::start().await;
    let answer =
        app.anonymous().post("/api/auth/register", json!({"email": "a@b.example", "password": PASSWORD})).await;
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(
        names(&answer.body),
        "access_token expires_in refresh_expires_in refresh_token server_time session_id token_type user"
    );
    assert_eq!(
        names(&answer.body["user"]),
        "created_at email email_verified full_name id is_active last_login_at profile role updated_at"
    );
}

#[tokio::test]
async fn an_address_is_taken_whatever_its_case() {
    let app = TestApp::start().await;
    app.register("ada@example.com").await;
    for email in ["ada@example.com", "ADA@example.com", "ada@EXAMPLE.com"] {
        let answer = app.anonymous().post("/api/auth/register", json!({"email": email, "password": PASSWORD})).await;
        answer.assert_problem(409, "email_taken");
    }
    assert_eq!(app.database.number("select count(*) from users").await, 1);
}

#[tokio::test]
async fn registering_one_address_many_times_at_once_makes_one_account() {
    let app = TestApp::start().await;
    let tries = (0..16).map(|_| {
        let caller = app.anonymous();
        tokio::spawn(async move {
            caller.post("/api/auth/register", json!({"email": "ada@example.com", "password": PASSWORD})).await.status
        })
    });
    let mut statuses = Vec::new();
    for one in tries.collect::<Vec<_>>() {
        statuses.push(one.await.unwrap().as_u16());
    }
    statuses.sort_unstable();
    assert_eq!(statuses[0], 201);
    assert!(statuses[1..].iter().all(|status| *status == 409), "{statuses:?}");
    assert_eq!(app.database.number("select count(*) from sessions").await, 1);
}

#[tokio::test]
async fn all_broken_rules_are_told_at_once() {
    let app = TestApp::start().await;
    let register = async |body: Value| app.anonymous().post("/api/auth/register", body).await;

    register(json!({})).await.assert_invalid(&[("email", "required"), ("password", "required")]);
    register(json!({"email": "ada", "password": "short", "full_name": "a\nb", "profile": []})).await.assert_invalid(&[
        ("email", "invalid_email"),
        ("password", "too_short"),
        ("full_name", "invalid_text"),
        ("profile", "invalid_type"),
    ]);
    let large = json!({"a": "x".repeat(8192)});
    register(json!({"email": "a@b.example", "password": "x".repeat(1025), "profile": large}))
        .await
        .assert_invalid(&[("password", "too_long"), ("profile", "too_large")]);
    register(json!({"email": 5, "password": PASSWORD})).await.assert_invalid(&[("email", "invalid_type")]);
    register(json!({"email": "a@b.example", "password": PASSWORD, "profile": {"a\u{0}": 1}}))
        .await
        .assert_invalid(&[("profile", "invalid_text")]);
    assert_eq!(app.database.number("select count(*) from users").await, 0);
}

#[tokio::test]
async fn the_shortest_password_is_a_setting() {
    let app = TestApp::start_with(&[("CLAVIGER__PASSWORD__MIN_LENGTH", "12")]).await;
    let register = async |password: &str| {
        app.anonymous().post("/api/auth/register", json!({"email": "a@b.example", "password": password})).await
    };
    register("elevenchars").await.assert_invalid(&[("password", "too_short")]);
    assert_eq!(register("twelve chars").await.status, 201);
}

#[tokio::test]
async fn long_passwords_of_any_script_are_never_cut() {
    let app = TestApp::start().await;
    let long = "密码很长".repeat(30);
    for (email, password, wrong) in [
        ("a@b.example", format!("{}a", "x".repeat(72)), format!("{}b", "x".repeat(72))),
        ("b@b.example", "before\0after".to_owned(), "before\0afteR".to_owned()),
        ("c@b.example", long.clone(), format!("{long}!")),
        ("d@b.example", "Zu\u{308}rich-2026".to_owned(), "Zurich-2026".to_owned()),
    ] {
        let answer = app.anonymous().post("/api/auth/register", json!({"email": email, "password": password})).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        assert_eq!(app.anonymous().login(email, &password).await.status, 200, "{password}");
        app.anonymous().login(email, &wrong).await.assert_problem(401, "invalid_credentials");
    }
    assert_eq!(app.anonymous().login("d@b.example", "Z\u{fc}rich-2026").await.status, 200);
}

#[tokio::test]
async fn an_odd_but_allowed_profile_comes_back_as_it_went() {
    let app = TestApp::start().await;
    let profile = json!({
        "": "", "emoji": "🗝️", "'; drop table users --": "\\ \" \n",
        "nested": {"a": [null, true, 1.5, -3, 1e300, 12_345_678_901_234_567_890_u64, [], {}]},
    });
    let body = json!({"email": "a@b.example", "password": PASSWORD, "profile": profile});
    let answer = app.anonymous().post("/api/auth/register", body).await;
    assert_eq!(answer.body["user"]["profile"], profile);
}

#[tokio::test]
async fn a_common_password_and_the_own_address_are_refused() {
    let app = TestApp::start().await;
    for password in ["Password123", "qwertyuiop", "ada@example.com", "ADA@EXAMPLE.COM"] {
        let answer =
            app.anonymous().post("/api/auth/register", json!({"email": "ada@example.com", "password": password})).await;
        answer.assert_invalid(&[("password", "too_common")]);
    }
    let account = app.register("ada@example.com").await;
    let change = json!({"current_password": PASSWORD, "new_password": "password123"});
    account.call(Method::POST, "/api/auth/password", change).await.assert_invalid(&[("new_password", "too_common")]);
}
