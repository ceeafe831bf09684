//! What the application is for.

use serde_json::json;

use super::site::Site;

#[tokio::test]
async fn anybody_has_a_text_analysed_and_who_signs_in_keeps_it() {
    let Some(site) = Site::start().await else { return };
    site.visit("/").await;
    site.fill(&[("title", "On engines"), ("text", "It can do whatever we know how to order it.")]).await;
    site.submit().await;
    site.says("Not kept.").await;
    site.says("Words 10").await;

    // What was written is still there after a reload, and after signing in.
    site.visit("/").await;
    site.register("ada@example.com").await;
    site.says("Nothing yet").await;
    site.submit().await;
    site.says("Kept in your history.").await;

    site.visit("/").await;
    site.says("10 words").await;
    site.click("On engines").await;
    site.arrives_at("On engines").await;
    site.click("Delete").await;
    site.click("Keep").await;
    site.click("Delete").await;
    site.click("Delete for good").await;
    site.arrives_at("What does your text weigh?").await;
    site.says("Nothing yet").await;
}

#[tokio::test]
async fn somebody_elses_document_is_not_shown_and_one_that_is_not_there_is_said_to_be_missing() {
    let Some(site) = Site::start().await else { return };
    let bob = site.app.register("bob@example.com").await;
    let id = site.document(&bob.access_token, "The diary of Bob").await;
    site.visit("/").await;
    site.register("ada@example.com").await;
    site.says("Nothing yet").await;

    site.visit(&format!("/documents/{id}")).await;
    site.arrives_at("Not your document").await;
    site.says("belongs to somebody else").await;
    assert!(!site.drawn().await.to_string().contains("diary"));

    site.visit("/documents/00000000-0000-4000-8000-000000000000").await;
    site.arrives_at("There is no such document").await;
}

#[tokio::test]
async fn a_document_is_deleted_with_the_keyboard_and_the_focus_is_not_lost() {
    let Some(site) = Site::start().await else { return };
    let ada = site.app.register("ada@example.com").await;
    for title in ["One", "Two"] {
        site.document(&ada.access_token, title).await;
    }
    site.visit("/login").await;
    site.sign_in("ada@example.com").await;
    site.says("One").await;

    let focus = "return document.activeElement.innerText.replace(/\\s+/g, ' ')";
    site.run("document.querySelector('.actions button').focus()", json!({})).await;
    site.browser.press("\u{e007}").await;
    assert_eq!(site.run(focus, json!({})).await, "Delete for good “Two”");
    site.browser.press("\u{e00c}").await;
    assert_eq!(site.run(focus, json!({})).await, "Delete “Two”");
    site.browser.press("\u{e007}\u{e007}").await;
    site.says("“Two” is deleted.").await;
    assert_eq!(site.run("return document.activeElement.id", json!({})).await, "history");
}
