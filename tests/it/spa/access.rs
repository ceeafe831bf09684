//! Whether everybody can use the pages: with the keyboard, on a small screen, in the dark, and as far as axe-core can tell.

use serde_json::json;

use super::site::Site;
use crate::support::{Browser, ENTER, TAB};

const DOWN: char = '\u{e015}';
const UP: char = '\u{e013}';
const END: char = '\u{e010}';
const ESCAPE: char = '\u{e00c}';

/// The page as it is, light and wide, then dark and as narrow as the narrowest phone: colours do not depend on the width.
async fn is_for_everybody(site: &Site, page: &str) {
    for (scheme, width) in [("light", 1280), ("dark", 320)] {
        site.browser.appear(scheme, width).await;
        let broken = site.browser.accessibility_violations().await;
        assert!(broken.is_empty(), "{page}, {scheme}, {width}: {broken:#?}");
        let wide = site.run("return document.documentElement.scrollWidth - innerWidth", json!({})).await;
        assert!(wide.as_i64() <= Some(0), "{page} is {wide} wider than {width}");
    }
    site.browser.appear("light", 1280).await;
}

#[tokio::test]
async fn every_page_and_state_is_for_everybody() {
    let Some(site) = Site::start().await else { return };
    if !Browser::has_axe() {
        return;
    }
    site.visit("/login").await;
    site.arrives_at("Sign in").await;
    is_for_everybody(&site, "login").await;
    site.sign_in("nobody@example.com").await;
    site.says("is wrong").await;
    is_for_everybody(&site, "login refused").await;
    site.click("Register").await;
    site.fill(&[("email", "ada@"), ("password", "short"), ("confirmation", "short")]).await;
    site.submit().await;
    site.says("must have at least").await;
    is_for_everybody(&site, "register with errors").await;

    site.visit("/").await;
    site.fill(&[("title", "On engines"), ("text", "It can do whatever we know how to order it.")]).await;
    site.submit().await;
    site.says("Not kept.").await;
    is_for_everybody(&site, "documents of anybody").await;
    site.register(&format!("{}@example.com", "a.very.long.address".repeat(3))).await;
    site.says("Nothing yet").await;
    site.submit().await;
    site.says("Kept in your history.").await;
    site.open_menu().await;
    is_for_everybody(&site, "documents of a member, with the menu open").await;
    site.open_menu().await;
    site.choose("Account").await;
    site.says("this device").await;
    is_for_everybody(&site, "account").await;
    site.visit("/").await;
    site.click("Delete").await;
    is_for_everybody(&site, "documents, one to be deleted").await;
    site.click("On engines").await;
    site.arrives_at("On engines").await;
    is_for_everybody(&site, "a document").await;
    site.visit("/documents/00000000-0000-4000-8000-000000000000").await;
    site.arrives_at("There is no such document").await;
    is_for_everybody(&site, "no document").await;

    site.api_is_away(true);
    site.visit("/").await;
    site.says("asks again by itself").await;
    is_for_everybody(&site, "documents that do not come").await;
    site.service_is_away(true);
    site.choose("Sign out").await;
    site.says("still signed in").await;
    is_for_everybody(&site, "not signed out").await;
    site.visit("/account").await;
    site.says("The sign-in service is not answering.").await;
    is_for_everybody(&site, "the service is away").await;
    site.service_is_away(false);
    site.arrives_at("Account").await;
    site.app.database.execute("update sessions set ended_at = now(), ended_by = 'revoked'").await;
    site.visit("/account").await;
    site.arrives_at("Sign in").await;
    site.says("You were signed out.").await;
    is_for_everybody(&site, "signed out").await;
    site.visit("/nowhere").await;
    site.arrives_at("There is no such page").await;
    is_for_everybody(&site, "no page").await;
}

#[tokio::test]
async fn the_menu_of_the_user_is_worked_with_the_keyboard() {
    let Some(site) = Site::start().await else { return };
    site.visit("/account").await;
    site.register("ada@example.com").await;
    site.arrives_at("Account").await;
    let press = async |keys: &[char]| {
        site.browser.press(&keys.iter().collect::<String>()).await;
        site.run("return document.activeElement.innerText.split('\\n').at(-1)", json!({})).await
    };
    let button = "ada@example.com";
    site.run("document.querySelector('[aria-haspopup=menu]').focus()", json!({})).await;

    assert_eq!(press(&[ENTER]).await, "Documents");
    assert_eq!(press(&[DOWN]).await, "Account");
    assert_eq!(press(&[END]).await, "Sign out");
    assert_eq!(press(&[DOWN]).await, "Documents");
    assert_eq!(press(&[UP]).await, "Sign out");
    let expanded = "return document.querySelector('[aria-haspopup=menu]').ariaExpanded";
    assert_eq!(site.run(expanded, json!({})).await, "true");
    assert_eq!(press(&[ESCAPE]).await, button);
    assert_eq!(site.run(expanded, json!({})).await, "false");
    assert_eq!(press(&[UP]).await, "Sign out");
    press(&[TAB]).await;
    assert_eq!(site.run(expanded, json!({})).await, "false");

    site.run("document.querySelector('[aria-haspopup=menu]').focus()", json!({})).await;
    press(&[ENTER, ' ']).await;
    site.arrives_at("What does your text weigh?").await;
    assert_eq!(site.run("return document.activeElement.tagName", json!({})).await, "H1");
}
