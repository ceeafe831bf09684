//! Who is signed in, on which page, in which tab, and what they are told.

use jsonwebtoken::{EncodingKey, Header};
use reqwest::Method;
use serde_json::{Value, json};

use super::site::Site;
use crate::support::{JWT_SECRET, PASSWORD, claims, wait_until};

const HOME: &str = "What does your text weigh?";

#[tokio::test]
async fn a_new_user_arrives_at_the_page_for_members_and_stays_there_after_a_reload_without_a_flash() {
    let Some(site) = Site::start().await else { return };
    site.visit("/account").await;
    site.arrives_at("Sign in").await;
    site.register("ada@example.com").await;
    site.arrives_at("Account").await;
    let before = site.refreshes();

    site.visit("/account").await;
    site.arrives_at("Account").await;
    site.says("this device").await;

    // Nothing else was drawn, not for a moment.
    assert_eq!(site.drawn().await, json!(["Account (password)"]));
    assert_eq!(site.refreshes(), before + 1);
    let stored = "return JSON.stringify([{...localStorage}, {...sessionStorage}])";
    let stored = site.run(stored, json!({})).await.to_string();
    assert!(stored.contains("ada@example.com") && !stored.contains("rt1_") && !stored.contains("eyJ"), "{stored}");
}

#[tokio::test]
async fn who_follows_a_link_to_a_page_for_members_signs_in_and_arrives_there() {
    let Some(site) = Site::start().await else { return };
    let ada = site.app.register("ada@example.com").await;
    let id = site.document(&ada.access_token, "On engines").await;

    site.visit(&format!("/documents/{id}?from=mail")).await;
    site.arrives_at("Sign in").await;
    assert_eq!(site.drawn().await, json!(["Sign in (password)"]));
    site.sign_in("ada@example.com").await;

    site.arrives_at("On engines").await;
    let url = site.browser.url().await;
    assert!(url.ends_with(&format!("/documents/{id}?from=mail")), "{url}");
    // The focus is where the new page begins.
    assert_eq!(site.run("return document.activeElement.tagName", json!({})).await, "H1");
}

#[tokio::test]
async fn fifty_calls_with_an_expired_token_are_one_refresh_and_all_succeed() {
    let Some(site) = Site::start().await else { return };
    let ada = site.app.register("ada@example.com").await;
    for number in 1..=50 {
        site.document(&ada.access_token, &format!("Letter {number}")).await;
    }
    site.visit("/login").await;
    site.sign_in("ada@example.com").await;
    site.says("Letter 1").await;
    expire(&site).await;
    let before = site.refreshes();

    let delete_all = "
        const press = (name) => [...document.querySelectorAll('.actions button')]
            .filter((button) => button.innerText.startsWith(name)).map((button) => button.click()).length;
        return [press('Delete'), await new Promise((later) => setTimeout(() => later(press('Delete for good'))))]";
    assert_eq!(site.run(delete_all, json!({})).await, json!([50, 50]));

    site.says("Nothing yet").await;
    let deletions = |status| site.calls("DELETE /documents/", status);
    assert_eq!((deletions(401), deletions(204), site.refreshes()), (50, 50, before + 1));
}

/// From now on the token that the page holds is one that has expired, as after a long sleep.
async fn expire(site: &Site) {
    let token = site.run("return shown", json!({})).await;
    let token = token.as_str().unwrap();
    let mut claims = claims(token);
    for time in ["iat", "exp"] {
        claims[time] = json!(claims[time].as_i64().unwrap() - 3600);
    }
    let key = EncodingKey::from_secret(JWT_SECRET.as_bytes());
    let expired = jsonwebtoken::encode(&Header::default(), &claims, &key).unwrap();
    site.run("window.swap = args", json!({ token: expired })).await;
}

#[tokio::test]
async fn a_sign_out_in_one_tab_is_one_in_all_tabs() {
    let Some(site) = Site::start().await else { return };
    let here = site.browser.open_tab().await;
    site.visit("/account").await;
    site.register("ada@example.com").await;
    site.arrives_at("Account").await;
    let there = site.browser.open_tab().await;
    site.visit("/").await;
    site.says("ada@example.com").await;

    site.choose("Sign out").await;
    site.says("You have signed out.").await;

    site.browser.switch_to(&here).await;
    site.arrives_at("Sign in").await;
    site.says("You have signed out.").await;
    assert_eq!(site.run("return document.querySelector('[name=email]').value", json!({})).await, "");

    // And the other way: the next one to sign in does so in all tabs, and on no page of the one before.
    site.app.register("bob@example.com").await;
    site.sign_in("bob@example.com").await;
    site.arrives_at(HOME).await;
    site.browser.switch_to(&there).await;
    site.says("bob@example.com").await;
}

#[tokio::test]
async fn a_page_says_why_its_user_was_signed_out() {
    let Some(site) = Site::start().await else { return };
    site.visit("/account").await;
    site.register("ada@example.com").await;
    site.arrives_at("Account").await;
    let stolen = cookie(&site).await;
    for _ in 0..2 {
        site.visit("/account").await;
        site.says("this device").await;
        site.app.database.close_grace_windows().await;
    }

    site.app.anonymous().refresh(&stolen).await.assert_problem(401, "refresh_token_replayed");
    site.visit("/account").await;
    site.arrives_at("Sign in").await;
    site.says("A copy of your sign-in was used somewhere else").await;
    site.visit("/").await;
    site.says("A copy of your sign-in was used somewhere else").await;

    site.click("Sign in").await;
    site.sign_in("ada@example.com").await;
    site.says_not("A copy of your sign-in").await;
    let phone = site.app.login("ada@example.com").await;
    site.visit("/account").await;
    site.says("Unknown device").await;
    let page =
        phone.sessions().await.into_iter().find(|session| session["current"] == false && session["ended_at"].is_null());
    let path = format!("/api/auth/sessions/{}", page.unwrap()["id"].as_str().unwrap());
    assert_eq!(phone.call(Method::DELETE, &path, Value::Null).await.status, 204);
    // The page learns it by its next call, and not by being loaded.
    change_password(&site, PASSWORD, "another horse battery").await;
    site.arrives_at("Sign in").await;
    site.says("This session was ended, by you on another device").await;

    site.sign_in("ada@example.com").await;
    site.arrives_at("Account").await;
    let body = json!({"current_password": PASSWORD, "new_password": "another horse battery"});
    let phone = site.app.login("ada@example.com").await;
    assert_eq!(phone.call(Method::POST, "/api/auth/password", body).await.status, 200);
    change_password(&site, PASSWORD, "a third horse battery").await;
    site.says("Your password was changed. Sign in with the new one.").await;
}

async fn change_password(site: &Site, current: &str, new: &str) {
    site.fill(&[("current_password", current), ("new_password", new), ("confirmation", new)]).await;
    site.submit().await;
}

async fn cookie(site: &Site) -> String {
    let cookies = site.browser.cookies().await;
    let cookie = cookies.iter().find(|cookie| cookie["name"] == "__Host-refresh_token").unwrap();
    assert_eq!(cookie["httpOnly"], true);
    cookie["value"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn sessions_on_other_devices_are_seen_and_ended_and_the_password_is_changed() {
    let Some(site) = Site::start().await else { return };
    site.visit("/account").await;
    site.register("ada@example.com").await;
    site.arrives_at("Account").await;
    let phone = site.app.login("ada@example.com").await;
    site.visit("/account").await;

    site.click("Sign out").await;
    site.says("Unknown device is signed out.").await;
    site.app.anonymous().refresh(&phone.refresh_token).await.assert_problem(401, "session_ended");

    let laptop = site.app.login("ada@example.com").await;
    change_password(&site, "wrong horse battery", "another horse battery").await;
    site.says("This is not your password.").await;
    change_password(&site, PASSWORD, "another horse battery").await;
    site.says("Your password is changed. 1 other session was signed out.").await;
    site.app.anonymous().refresh(&laptop.refresh_token).await.assert_problem(401, "session_ended");
    site.says_not("Unknown device, used").await;
    wait_until("fields are empty", async || {
        site.run("return document.querySelector('[name=new_password]').value", json!({})).await == ""
    })
    .await;
}
