use std::io::Write as _;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Account, Answer, PASSWORD, TestApp, claims, disable};

async fn patch(account: &Account, body: Value) -> Answer {
    account.call(Method::PATCH, "/api/auth/me", body).await
}

#[tokio::test]
async fn chosen_fields_are_claims_of_each_new_access_token() {
    let app = TestApp::start_with(&[("CLAVIGER__ACCESS_TOKEN__PROFILE_CLAIMS", "plan,level")]).await;
    let body = json!({"email": "ada@example.com", "password": PASSWORD, "profile": {"plan": "free", "goal": "rust"}});
    let registered = app.anonymous().post("/api/auth/register", body).await;
    let mut ada = Account::of(app.anonymous(), "ada@example.com", &registered);
    let told = |account: &Account| {
        let claims = claims(&account.access_token);
        ["plan", "level", "goal"].map(|name| claims.get(name).cloned().unwrap_or_default())
    };
    assert_eq!(told(&ada), [json!("free"), Value::Null, Value::Null]);

    let change = json!({"profile": {"plan": {"name": "pro"}, "level": 2}});
    assert_eq!(ada.call(Method::PATCH, "/api/auth/me", change).await.status, 200);
    assert_eq!(told(&ada), [json!("free"), Value::Null, Value::Null], "a token stays as it is");
    ada.refresh().await;
    assert_eq!(told(&ada), [json!({"name": "pro"}), json!(2), Value::Null]);
    assert_eq!(told(&app.login("ada@example.com").await), told(&ada));
    assert_eq!(ada.me().await.status, 200, "and it still opens what it did");

    let large = json!({"profile": {"plan": "x".repeat(255), "level": null}});
    assert_eq!(ada.call(Method::PATCH, "/api/auth/me", large).await.status, 200);
    ada.refresh().await;
    assert_eq!(told(&ada), [Value::Null, Value::Null, Value::Null], "what is too large, or not there, is left out");
}

#[tokio::test]
async fn what_is_named_changes_and_the_rest_stays() {
    let app = TestApp::start().await;
    let account = app.register("ada@example.com").await;
    let before = account.me().await.body;

    let profile = json!({"learning": {"goal": "rust", "level": 1}, "tags": ["a", "b"]});
    let first = patch(&account, json!({"full_name": " Ada ", "profile": profile})).await;
    assert_eq!((first.status.as_u16(), &first.body["profile"]), (200, &profile));
    let second = patch(&account, json!({"profile": {"learning": {"level": 2}, "tags": null, "beta": true}})).await;

    assert_eq!(second.body["profile"], json!({"learning": {"goal": "rust", "level": 2}, "beta": true}));
    assert_eq!(second.body["full_name"], "Ada");
    assert_eq!(second.body, account.me().await.body);
    for same in ["id", "email", "role", "created_at", "last_login_at", "email_verified"] {
        assert_eq!(second.body[same], before[same], "{same}");
    }
    assert_ne!(second.body["updated_at"], before["updated_at"]);

    let third =
        patch(&account, json!({"full_name": null, "profile": null, "role": "admin", "email": "x@y.example"})).await;
    assert_eq!((&third.body["full_name"], &third.body["profile"]), (&Value::Null, &json!({})));
    assert_eq!((&third.body["role"], &third.body["email"]), (&before["role"], &before["email"]));
    assert_eq!(patch(&account, json!({})).await.status, 200, "nothing to change is no error");
}

#[tokio::test]
async fn a_change_that_breaks_a_rule_changes_nothing() {
    let app = TestApp::start().await;
    let account = app.register("ada@example.com").await;
    patch(&account, json!({"full_name": "Ada", "profile": {"a": "x".repeat(5000)}})).await;
    let before = account.me().await.body;

    let both = json!({"full_name": "a\nb", "profile": {"b": "x".repeat(5000)}});
    patch(&account, both).await.assert_invalid(&[("profile", "too_large"), ("full_name", "invalid_text")]);
    patch(&account, json!({"profile": [1]})).await.assert_invalid(&[("profile", "invalid_type")]);
    patch(&account, json!({"profile": {"a": "\0"}})).await.assert_invalid(&[("profile", "invalid_text")]);
    patch(&account, json!({"full_name": 7})).await.assert_invalid(&[("full_name", "invalid_type")]);

    assert_eq!(account.me().await.body, before);
}

#[tokio::test]
async fn changes_at_once_are_all_kept() {
    let app = TestApp::start().await;
    let account = app.register("ada@example.com").await;
    let changes = (0..20).map(|index| {
        let request = account.caller.request(Method::PATCH, "/api/auth/me").bearer_auth(&account.access_token);
        let request = request.json(&json!({"profile": {format!("field{index}"): index}}));
        let caller = account.caller.clone();
        tokio::spawn(async move { caller.send(request).await.status })
    });
    for change in changes.collect::<Vec<_>>() {
        assert_eq!(change.await.unwrap(), 200);
    }
    assert_eq!(account.me().await.body["profile"].as_object().unwrap().len(), 20);
}

#[tokio::test]
async fn only_who_is_signed_in_changes_and_only_the_own_account() {
    let app = TestApp::start().await;
    let (ada, bob) = (app.register("ada@example.com").await, app.register("bob@example.com").await);
    patch(&ada, json!({"full_name": "Ada", "id": bob.session_id})).await;
    assert_eq!(bob.me().await.body["full_name"], Value::Null);

    let nobody = app.anonymous();
    let answer = nobody.send(nobody.request(Method::PATCH, "/api/auth/me").json(&json!({"full_name": "X"}))).await;
    answer.assert_problem(401, "access_token_missing");
    ada.logout().await;
    patch(&ada, json!({"full_name": "X"})).await.assert_problem(401, "access_token_invalid");
    disable(&app.store, "bob@example.com").await;
    patch(&bob, json!({"full_name": "X"})).await.assert_problem(401, "access_token_invalid");
    assert_eq!(app.database.number("select count(*) from users where full_name = 'X'").await, 0);
}

#[tokio::test]
async fn a_schema_holds_at_registration_and_at_every_change() {
    let schema = json!({
        "type": "object", "additionalProperties": false,
        "properties": {"goal": {"type": "string", "maxLength": 5}, "level": {"enum": [1, 2]}}
    });
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(schema.to_string().as_bytes()).unwrap();
    let app = TestApp::start_with(&[("CLAVIGER__PROFILE__SCHEMA", file.path().to_str().unwrap())]).await;

    let register = async |profile: Value| {
        let body = json!({"email": "ada@example.com", "password": PASSWORD, "profile": profile});
        app.anonymous().post("/api/auth/register", body).await
    };
    register(json!({"goal": "far too long", "level": 3}))
        .await
        .assert_invalid(&[("profile.goal", "invalid_value"), ("profile.level", "invalid_value")]);
    assert_eq!(register(json!({"goal": "rust"})).await.status, 201);
    let account = app.login("ada@example.com").await;
    patch(&account, json!({"profile": {"level": 9}})).await.assert_invalid(&[("profile.level", "invalid_value")]);
    patch(&account, json!({"profile": {"x": 9}})).await.assert_invalid(&[("profile", "invalid_value")]);
    let changed = patch(&account, json!({"profile": {"level": 2, "goal": null}})).await;
    assert_eq!(changed.body["profile"], json!({"level": 2}));

    // Whoever has an account from before the schema, or before it became narrower, keeps it and can sign in.
    app.database.execute(r#"update users set profile = '{"old": true}'"#).await;
    assert_eq!(app.login("ada@example.com").await.me().await.body["profile"], json!({"old": true}));
}
