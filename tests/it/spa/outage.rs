//! What a page does while a server is away.

use serde_json::json;

use super::site::Site;
use crate::support::wait_until;

#[tokio::test]
async fn a_page_whose_service_is_away_says_so_signs_nobody_out_and_goes_on_by_itself() {
    let Some(site) = Site::start().await else { return };
    site.visit("/account").await;
    site.register("ada@example.com").await;
    site.arrives_at("Account").await;
    site.service_is_away(true);

    site.visit("/account").await;
    site.says("The sign-in service is not answering.").await;
    // By then the client has given up on its own.
    wait_until("it asks again", async || site.calls("/api/auth/refresh", 502) > 4).await;
    assert_eq!(site.drawn().await, json!([]));

    site.service_is_away(false);
    site.arrives_at("Account").await;
    site.says("this device").await;
    site.says_not("not answering").await;
    assert_eq!(site.drawn().await, json!(["Account (password)"]));
}

#[tokio::test]
async fn who_cannot_be_signed_out_is_told_and_a_history_that_cannot_be_loaded_comes_by_itself() {
    let Some(site) = Site::start().await else { return };
    site.visit("/").await;
    site.register("ada@example.com").await;
    site.says("Nothing yet").await;
    site.service_is_away(true);
    site.choose("Sign out").await;
    site.says("You are still signed in").await;
    site.service_is_away(false);

    site.api_is_away(true);
    site.visit("/").await;
    site.says("The service is not answering. This page asks again by itself.").await;
    site.fill(&[("title", "On engines"), ("text", "It can do whatever we order.")]).await;
    site.submit().await;
    site.says("Try again in a moment.").await;
    site.api_is_away(false);
    site.says("Nothing yet").await;
    site.submit().await;
    site.says("Kept in your history.").await;
}
