use reqwest::Method;

use crate::support::{ServerProcess, TestApp};

async fn me(app: &TestApp, authorization: &str) -> crate::support::Answer {
    let request = app.anonymous().request(Method::GET, "/api/auth/me").header("authorization", authorization);
    app.anonymous().send(request).await
}

#[tokio::test]
async fn me_is_read_fresh() {
    let app = TestApp::start().await;
    let account = app.register("ada@example.com").await;
    app.database.execute("update users set full_name = 'Ada', email_verified_at = now()").await;
    let answer = account.me().await;
    assert_eq!((answer.text("full_name"), answer.body["email_verified"].as_bool()), ("Ada", Some(true)));
    assert_eq!(answer.header("cache-control"), "no-store");
}

#[tokio::test]
async fn the_scheme_may_be_written_in_any_case() {
    let app = TestApp::start().await;
    let token = app.register("ada@example.com").await.access_token;
    for scheme in ["Bearer", "bearer", "BEARER"] {
        assert_eq!(me(&app, &format!("{scheme} {token}")).await.status, 200);
    }
}

#[tokio::test]
async fn challenges_follow_rfc_6750() {
    let app = TestApp::start().await;
    for authorization in ["", "Bearer", "Bearer ", "Basic Zm9vOmJhcg==", "token"] {
        let answer = me(&app, authorization).await;
        answer.assert_problem(401, "access_token_missing");
        assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"claviger\"");
    }
    for authorization in
        ["Bearer null", "Bearer a.b.c", "Bearer a b", "Bearer \u{e9}", "Bearer eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9"]
    {
        let answer = me(&app, authorization).await;
        answer.assert_problem(401, "access_token_invalid");
        assert!(answer.header("www-authenticate").contains("error=\"invalid_token\""));
    }
}

#[tokio::test]
async fn a_refresh_token_is_no_access_token_and_a_url_carries_none() {
    let app = TestApp::start().await;
    let account = app.register("ada@example.com").await;
    me(&app, &format!("Bearer {}", account.refresh_token)).await.assert_problem(401, "access_token_invalid");
    let in_url = app.anonymous().get(&format!("/api/auth/me?access_token={}", account.access_token)).await;
    in_url.assert_problem(401, "access_token_missing");
}

#[tokio::test]
async fn access_tokens_of_an_older_secret_stay_good_while_it_is_configured() {
    let app = TestApp::start().await;
    let account = app.register("ada@example.com").await;
    let new = "3kXv9QpLr2TzWn6YcBm1Ds8FhJ4gKa7UeRoIy5NxZtE";
    let both = format!("new:{new},old:{}", crate::support::JWT_SECRET);
    let rotated = ServerProcess::ready(&app.database.url, &[("JWT_SECRET", &both)]).await;
    let dropped = ServerProcess::ready(&app.database.url, &[("JWT_SECRET", new)]).await;
    assert_eq!(rotated.anonymous().me(&account.access_token).await.status, 200);
    dropped.anonymous().me(&account.access_token).await.assert_problem(401, "access_token_invalid");
}
