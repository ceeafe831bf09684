//! What somebody does who has cloned the repository and follows the README.

use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::json;

use super::{built, site};
use crate::support::{Browser, TestApp, free_port, wait_until};

/// A command and what it has started, ended when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _gone_already = kill_process_group(Pid::from_child(&self.0), Signal::KILL);
        drop(self.0.wait());
    }
}

#[tokio::test]
async fn the_development_server_of_the_readme_shows_the_application_over_plain_http() {
    if !built::can_be_built() {
        return;
    }
    let port = free_port();
    let page = format!("http://localhost:{port}");
    let settings = [("CLAVIGER__CORS__ALLOWED_ORIGINS", &*page), ("CLAVIGER__COOKIE__SECURE", "false")];
    let app = TestApp::start_with(&settings).await;
    let api = site::resource_server(&app, &page).await;
    let serve = format!("{} -- --host 127.0.0.1 --port {port}", built::command("npm run dev"));
    let development = Command::new("sh")
        .args(["-euc", &serve])
        .current_dir(built::folder())
        .env("VITE_AUTH_URL", format!("http://localhost:{}", app.address.port()))
        .env("VITE_API_URL", api.base.replace("127.0.0.1", "localhost"))
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let _running = Running(development);
    let http = &app.anonymous().http;
    let address = format!("http://127.0.0.1:{port}");
    wait_until("it serves", async || http.get(&address).send().await.is_ok()).await;

    let browser = Browser::start().await;
    browser.goto(&format!("{page}/register")).await;
    let has =
        async |selector: &str| browser.run("return !!document.querySelector(args)", json!(selector)).await == true;
    wait_until("the form is there", async || has("[name=confirmation]").await).await;
    for (name, text) in
        [("email", "ada@example.com"), ("password", "a horse battery"), ("confirmation", "a horse battery")]
    {
        browser.type_into(&format!("[name={name}]"), text).await;
    }
    browser.click("form [type=submit]").await;
    wait_until("the history is there", async || has("#history + p + .quiet").await).await;

    browser.goto(&format!("{page}/account")).await;
    wait_until("the user is signed in by the cookie", async || has(".badge").await).await;
}

#[test]
fn its_types_are_right() {
    if built::can_be_built() {
        built::run("npm run types");
    }
}
