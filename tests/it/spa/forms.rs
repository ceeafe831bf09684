//! What a form says when it is filled in wrongly.

use serde_json::{Value, json};

use super::site::Site;
use crate::support::PASSWORD;

/// By field: what it says is wrong, as assistive technology finds it. And which one has the focus.
const ERRORS: &str = "
    const wrong = [...document.querySelectorAll('[aria-invalid=true]')];
    const said = (field) => field.getAttribute('aria-describedby').split(' ')
        .map((id) => document.getElementById(id)).find((element) => element.className === 'error').textContent;
    return [Object.fromEntries(wrong.map((field) => [field.name, said(field)])), document.activeElement.name]";

async fn errors(site: &Site) -> Value {
    site.run(ERRORS, json!({})).await
}

#[tokio::test]
async fn a_registration_that_breaks_rules_says_so_beside_the_fields() {
    let Some(site) = Site::start().await else { return };
    site.app.register("taken@example.com").await;
    site.visit("/register").await;

    site.fill(&[("email", "ada@"), ("password", "short"), ("confirmation", "other")]).await;
    site.submit().await;
    site.says("The two passwords are not the same.").await;
    assert_eq!(errors(&site).await, json!([{"confirmation": "The two passwords are not the same."}, "confirmation"]));
    assert_eq!(site.calls("POST /api/auth/register", 422), 0);

    site.fill(&[("confirmation", "short")]).await;
    site.submit().await;
    site.says("must have at least").await;
    let expected = json!({
        "email": "The address must be an e-mail address such as ada@example.com.",
        "password": "The password must have at least 8 characters.",
    });
    assert_eq!(errors(&site).await, json!([expected, "email"]));

    site.fill(&[("email", "taken@example.com"), ("password", PASSWORD), ("confirmation", PASSWORD)]).await;
    site.submit().await;
    site.says("There is an account with this address already.").await;
    assert_eq!(errors(&site).await, json!([{"email": "There is an account with this address already."}, "email"]));
}

#[tokio::test]
async fn a_wrong_password_is_told_and_what_was_typed_stays() {
    let Some(site) = Site::start().await else { return };
    site.app.register("ada@example.com").await;
    site.visit("/login").await;
    site.fill(&[("email", "ada@example.com"), ("password", "wrong horse battery")]).await;

    site.submit().await;

    site.says("The address or the password is wrong.").await;
    let typed = "return ['email', 'password'].map((name) => document.querySelector(`[name=${name}]`).value)";
    assert_eq!(site.run(typed, json!({})).await, json!(["ada@example.com", "wrong horse battery"]));
    let alert = "return document.querySelector('[role=alert]').textContent";
    assert_eq!(site.run(alert, json!({})).await, "The address or the password is wrong.");
}

#[tokio::test]
async fn password_managers_know_every_field() {
    let Some(site) = Site::start().await else { return };
    let fields = "return [...document.querySelectorAll('main input')].map((input) => input.autocomplete)";
    site.visit("/login").await;
    site.arrives_at("Sign in").await;
    assert_eq!(site.run(fields, json!({})).await, json!(["username", "current-password"]));

    site.click("Register").await;
    site.arrives_at("Register").await;
    assert_eq!(site.run(fields, json!({})).await, json!(["name", "username", "new-password", "new-password"]));

    site.register("ada@example.com").await;
    site.says("Nothing yet").await;
    site.visit("/account").await;
    site.arrives_at("Account").await;
    let expected = json!(["username", "current-password", "new-password", "new-password"]);
    assert_eq!(site.run(fields, json!({})).await, expected);
}
