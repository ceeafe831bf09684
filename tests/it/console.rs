//! The console: its files, and the page in a real browser, by keys and clicks alone.

use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};

use crate::mail;
use crate::support::{
    Account, Anonymous, Browser, ENTER, MailServer, PASSWORD, TAB, TestApp, Tls, skipped, wait_until,
};

const ON: [(&str, &str); 2] = [("CLAVIGER__SERVER__CONSOLE", "true"), ("CLAVIGER__COOKIE__SECURE", "false")];
const ADA: &str = "ada@example.com";
const HOSTILE: &str = "<img src=x onerror='window.hit=1'><script>hit=1</script>";
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
                      trusted-types 'none'";

/// What the page asks the service for, besides its own files.
const SERVICE: [&str; 2] = ["*/api/*", "*/health/*"];

/// A browser at the console of a service of its own.
struct Console {
    browser: Browser,
    app: TestApp,
}

impl Console {
    async fn start() -> Option<Self> {
        if Browser::programs().is_none() {
            skipped("CHROMIUM", "apt-get install chromium chromium-driver");
            return None;
        }
        Some(Self { browser: Browser::start().await, app: TestApp::start_with(&ON).await })
    }

    /// The page of a new user.
    async fn signed_up() -> Option<Self> {
        let console = Self::start().await?;
        console.open("#sign-up").await;
        console.see("sign-up").await;
        for (field, text) in [("#sign-up-email", ADA), ("#sign-up-name", "Ada"), ("#sign-up-password", PASSWORD)] {
            console.browser.type_into(field, text).await;
        }
        console.browser.click("#sign-up .primary").await;
        console.arrive().await;
        Some(console)
    }

    /// Waits until somebody is signed in and all about them is there.
    async fn arrive(&self) {
        self.see("account").await;
        self.until("the lists are there", "$$('#live-sessions li').length && $$('#event-rows li').length").await;
    }

    fn address(&self) -> String {
        format!("http://{}", self.app.address)
    }

    async fn open(&self, fragment: &str) {
        // Another fragment alone would load nothing.
        self.browser.goto("about:blank").await;
        self.browser.goto(&format!("{}/{fragment}", self.address())).await;
    }

    /// What an expression is in the page, where `$` finds an element and `$$` finds all.
    async fn ask(&self, expression: &str) -> Value {
        let find = "const $ = name => document.querySelector(name), $$ = name => [...document.querySelectorAll(name)];";
        self.browser.run(&format!("{find} return {expression}"), json!({})).await
    }

    async fn text(&self, selector: &str) -> String {
        self.ask(&format!("$(`{selector}`).innerText")).await.as_str().unwrap().to_owned()
    }

    async fn until(&self, what: &str, expression: &str) {
        let is = format!("!!({expression})");
        wait_until(what, async || self.ask(&is).await == true).await;
    }

    /// Waits until that view is open, and no other.
    async fn see(&self, view: &str) {
        let open = "$$('[data-view]').filter(view => view.checkVisibility()).map(view => view.dataset.view)";
        self.until(view, &format!("String({open}) === '{view}'")).await;
    }

    /// Waits until an element says something, and gives that.
    async fn said(&self, selector: &str) -> String {
        self.until(selector, &format!("$(`{selector}`)?.textContent")).await;
        self.text(selector).await
    }

    async fn generation(&self) -> i64 {
        self.app.database.number("select max(generation) from sessions").await
    }

    /// What of these addresses is asked for from now on gets no answer.
    async fn block(&self, urls: &[&str]) {
        self.browser.devtools("Network.enable", json!({})).await;
        self.browser.devtools("Network.setBlockedURLs", json!({ "urls": urls })).await;
    }

    /// Presses Tab until something of that name has the focus, which can be seen at each stop.
    async fn tab_to(&self, name: &str) {
        for _ in 0..60 {
            self.browser.press(&TAB.to_string()).await;
            let at = self
                .ask(
                    "(at => ({name: at.labels?.[0]?.innerText ?? at.innerText, ring: getComputedStyle(at).outlineStyle}))
                     (document.activeElement)",
                )
                .await;
            if at["name"].as_str().unwrap_or_default().starts_with(name) {
                assert_eq!(at["ring"], "solid", "{name}");
                return;
            }
        }
        panic!("no Tab leads to {name}");
    }

    /// Fails if the page keeps somebody out, light or dark, wide or narrow.
    async fn assert_fit_for_all(&self, state: &str) {
        for (scheme, width) in [("light", 1280), ("dark", 1280), ("light", 360), ("dark", 360), ("light", 320)] {
            self.browser.appear(scheme, width).await;
            let violations = self.browser.accessibility_violations().await;
            assert!(violations.is_empty(), "{state}, {scheme}, {width}: {violations:#?}");
            let sideways = self.ask("document.documentElement.scrollWidth - innerWidth").await;
            assert!(sideways.as_i64() <= Some(0), "{state}, {width}: {sideways}");
        }
        self.browser.appear("light", 1280).await;
    }
}

/// A login of Ada's on a device that calls itself so.
async fn other_device(app: &TestApp, label: &str, user_agent: &str) -> Account {
    let body = json!({"email": ADA, "password": PASSWORD, "label": label});
    let request = app.anonymous().request(Method::POST, "/api/auth/login").header("user-agent", user_agent);
    let answer = app.anonymous().send(request.json(&body)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    Account::of(app.anonymous(), ADA, &answer)
}

#[tokio::test]
async fn the_console_is_there_only_if_the_operator_wants_it() {
    let app = TestApp::start().await;
    for path in ["/", "/console/console.css", "/console/claviger/claviger.js"] {
        app.anonymous().get(path).await.assert_problem(404, "not_found");
    }
    app.anonymous().post("/", json!({})).await.assert_problem(404, "not_found");
}

#[tokio::test]
async fn its_files_are_read_only_and_bound_to_this_origin() {
    let app = TestApp::start_with(&ON).await;
    // The document of the API has no pages.
    let caller = Anonymous::at(app.address);
    for (path, media_type) in [
        ("/", "text/html; charset=utf-8"),
        ("/console/console.js", "text/javascript; charset=utf-8"),
        ("/console/claviger/claviger.js", "text/javascript; charset=utf-8"),
        ("/console/console.css", "text/css; charset=utf-8"),
        ("/console/icon.svg", "image/svg+xml"),
    ] {
        for method in [Method::GET, Method::HEAD] {
            let answer = caller.request(method.clone(), path).send().await.unwrap();
            let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
            assert_eq!((answer.status().as_u16(), &*header("content-type")), (200, media_type), "{path}");
            assert_eq!(header("content-security-policy"), POLICY);
            assert_eq!((&*header("cache-control"), &*header("x-content-type-options")), ("no-cache", "nosniff"));
            assert_eq!(
                (&*header("referrer-policy"), &*header("cross-origin-opener-policy")),
                ("no-referrer", "same-origin")
            );
            let tag = header("etag");
            assert_eq!(answer.text().await.unwrap().is_empty(), method == Method::HEAD, "{path}");
            let again =
                async |tag: &str| caller.request(Method::GET, path).header("if-none-match", tag).send().await.unwrap();
            assert_eq!(again(&tag).await.status(), 304, "{path}");
            assert_eq!(again(&format!("\"other\", W/{tag}")).await.status(), 304, "{path}");
            assert_eq!(again("\"0000000000000000\"").await.status(), 200, "{path}");
        }
        let posted = caller.post(path, json!({})).await;
        posted.assert_problem(405, "method_not_allowed");
        assert_eq!(posted.header("allow"), "GET, HEAD");
    }
    for path in ["/console", "/console/", "/console/nothing.js", "/console/..%2fCargo.toml", "/index.html", "//"] {
        let answer = caller.get(path).await;
        answer.assert_problem(404, "not_found");
        assert_eq!(answer.header("content-security-policy"), "default-src 'none'; frame-ancestors 'none'");
        assert_eq!(answer.header("cache-control"), "no-store");
    }
    caller.post("/api/auth/refresh", json!({})).await.assert_problem(401, "refresh_token_missing");
}

/// What is compiled in from outside `src` must be where an image is built.
#[test]
fn an_image_is_built_from_all_that_is_compiled_in() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| std::fs::read_to_string(root.join(name)).unwrap();
    let (dockerfile, allowed, console) = (read("Dockerfile"), read(".dockerignore"), read("src/http/console.rs"));
    let outside = console.split("include_str!(\"../../").skip(1).map(|rest| rest.split('"').next().unwrap());
    let outside: Vec<&str> = outside.collect();
    assert_eq!(
        outside.len(),
        std::fs::read_dir(root.join("clients/web/src")).unwrap().count() - 1,
        "all but the types"
    );
    for file in outside {
        let (folder, _) = file.rsplit_once('/').unwrap();
        assert!(dockerfile.contains(&format!("\nCOPY {folder} {folder}\n")), "{file}");
        assert!(allowed.contains(&format!("\n!{folder}\n")), "{file}");
    }
}

#[tokio::test]
async fn a_person_signs_up_and_out_and_in_by_the_keyboard_alone() {
    let Some(console) = Console::start().await else { return };
    let browser = &console.browser;
    console.open("").await;
    console.see("sign-in").await;

    console.tab_to("Create an account").await;
    browser.press(&ENTER.to_string()).await;
    console.see("sign-up").await;
    for (field, text) in [("E-mail", "ada"), ("Password", "password")] {
        console.tab_to(field).await;
        browser.press(text).await;
    }
    browser.press(&ENTER.to_string()).await;
    console.until("both rules are told", "$$('#sign-up [aria-invalid]').length === 2").await;
    for (field, rule) in
        [("email", "E-mail address must be an e-mail address"), ("password", "Password is one that many")]
    {
        let described = format!("$('#' + $('#sign-up-{field}').getAttribute('aria-describedby')).innerText");
        let described = console.ask(&described).await;
        assert!(described.as_str().unwrap().starts_with(rule), "{described}");
    }
    // The focus is where there is something to correct.
    assert_eq!(console.ask("document.activeElement.id").await, "sign-up-email");
    browser.press("@example.com").await;
    console.tab_to("Password").await;
    browser.press("password that is long").await;
    browser.press(&ENTER.to_string()).await;
    console.see("account").await;
    assert_eq!(console.ask("document.activeElement.innerText").await, "Hello, ada@example.com");
    let typed = ["#sign-up-email", "#sign-up-password", "#sign-in-password"].map(|field| format!("$('{field}').value"));
    assert_eq!(console.ask(&typed.join("+")).await, "", "what was typed does not stay");

    console.tab_to("Sign out everywhere").await;
    browser.press(&ENTER.to_string()).await;
    console.see("sign-in").await;
    assert_eq!(console.said(".notice").await, "You are signed out everywhere.");
    assert_eq!(console.ask("document.activeElement.innerText").await, "Sign in");
    assert!(browser.cookies().await.is_empty());

    let sign_in = async |password: &str| {
        console.open("").await;
        console.see("sign-in").await;
        console.tab_to("E-mail").await;
        browser.press(ADA).await;
        console.tab_to("Password").await;
        browser.press(password).await;
        browser.press(&ENTER.to_string()).await;
    };
    sign_in("password").await;
    assert_eq!(console.said("#sign-in output").await, "The address or the password is wrong.");
    sign_in("password that is long").await;
    console.see("account").await;
    // A page that is loaded again is signed in by its cookie, which no script can read.
    console.open("").await;
    console.see("account").await;
    assert_eq!(console.ask("document.cookie + JSON.stringify(localStorage).includes('rt1_')").await, "false");
}

#[tokio::test]
async fn the_token_is_shown_decoded_and_its_text_only_if_asked_for() {
    let Some(console) = Console::signed_up().await else { return };
    console.until("the claims are there", "$$('#token-claims div').length").await;
    let rows =
        console.ask("$$('#token .claims dt').map(name => [name.innerText, name.nextSibling.firstChild.data])").await;
    let rows: Vec<(String, String)> = serde_json::from_value(rows).unwrap();
    let value = |claim: &str| rows.iter().find(|(name, _)| name == claim).unwrap().1.clone();
    assert_eq!((&*value("alg"), &*value("email"), &*value("type")), ("HS256", ADA, "access"));
    assert_eq!(value("sub"), console.text("[data-user=id]").await);

    assert_eq!(console.ask("$('#token-text').checkVisibility()").await, false);
    console.browser.click("#token-show").await;
    let shown = console.text("#token-text").await;
    assert_eq!(console.app.anonymous().me(&shown).await.body["email"], ADA);
    console.browser.click("#sign-out").await;
    console.see("sign-in").await;
    assert_eq!(console.said(".notice").await, "You are signed out.");
    assert_eq!(console.ask("document.documentElement.outerHTML.includes('eyJ')").await, false, "nothing is left");
}

#[tokio::test]
async fn the_countdown_ends_in_a_new_token() {
    let Some(console) = Console::signed_up().await else { return };
    console.until("it counts", "/^[789] min/.test($('#refresh-in').innerText)").await;
    let first = console.text("#token-claims").await;
    assert_eq!(console.ask("$('#refresh-in').closest('[aria-live], [role=status], output')").await, Value::Null);

    // All but the last seconds pass, as after a pause of the device.
    let hurry = r"
        const [, minutes, seconds] = document.querySelector('#refresh-in').innerText.match(/(\d+) min (\d+) s/);
        const right = Date.now.bind(Date), ahead = (minutes * 60 + +seconds - 4) * 1000;
        Date.now = () => right() + ahead;
        dispatchEvent(new Event('focus'));
        window.seen = [];
        new MutationObserver(() => seen.push(document.querySelector('#refresh-in').innerText))
            .observe(document.querySelector('#refresh-in'), {childList: true, characterData: true, subtree: true});
    ";
    console.browser.run(hurry, json!({})).await;
    console.until("it starts again", "seen.length && /min/.test(seen.at(-1))").await;

    let seen = console.ask("seen").await;
    let seen: Vec<&str> = seen.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    assert!(seen.contains(&"2 s") && seen.contains(&"1 s"), "{seen:?}");
    assert_eq!(console.generation().await, 1);
    assert_ne!(console.text("#token-claims").await, first);
}

#[tokio::test]
async fn sessions_of_other_devices_are_seen_and_ended_and_names_are_only_text() {
    let Some(console) = Console::signed_up().await else { return };
    let devices = [other_device(&console.app, HOSTILE, HOSTILE).await, other_device(&console.app, "", HOSTILE).await];
    console.browser.run("document.querySelector('#full-name').value = args.name", json!({"name": HOSTILE})).await;
    console.browser.click("#name button").await;
    assert_eq!(console.said("#name output").await, "Saved.");

    console.open("").await;
    console.until("three sessions are listed", "$$('#live-sessions li').length === 3").await;
    assert_eq!(console.text("h1 [data-user=name]").await, HOSTILE);
    let names = console.ask("$$('#live-sessions .device').map(name => name.innerText)").await;
    assert_eq!(names, json!(["Chrome on Linux", HOSTILE, HOSTILE]));
    assert!(console.text("#event-rows").await.contains(HOSTILE));
    assert_eq!(
        console.ask("[document.images.length, document.scripts.length, typeof hit]").await,
        json!([1, 1, "undefined"])
    );

    console.browser.click("#live-sessions li:last-child button").await;
    assert_eq!(console.said("#sessions .actions + output").await, format!("Ended: {HOSTILE}."));
    assert_eq!(console.ask("$$('#live-sessions li').length").await, 2);
    let ended = |device: &Account| device.refresh_token.clone();
    console.app.anonymous().refresh(&ended(&devices[0])).await.assert_problem(401, "session_ended");
    assert_eq!(console.app.anonymous().refresh(&ended(&devices[1])).await.status, 200);
    console.browser.click("#end-others").await;
    console.until("it is the only one", "$$('#live-sessions li').length === 1").await;
    console.app.anonymous().refresh(&ended(&devices[1])).await.assert_problem(401, "session_ended");
    assert_eq!(console.ask("typeof hit").await, "undefined");
}

#[tokio::test]
async fn the_password_is_changed_and_what_is_wrong_is_said_beside_its_field() {
    let Some(console) = Console::signed_up().await else { return };
    let change = async |current: &str, new: &str| {
        console.browser.run("document.querySelector('#change-password').reset()", json!({})).await;
        console.browser.type_into("#current-password", current).await;
        console.browser.type_into("#new-password", new).await;
        console.browser.click("#change-password > button").await;
    };
    change("not that", "a password that is new").await;
    assert_eq!(console.said("#current-password-error").await, "Current password is wrong.");
    assert_eq!(console.ask("$('#current-password').getAttribute('aria-describedby')").await, "current-password-error");
    change(PASSWORD, "short").await;
    assert_eq!(console.said("#new-password-error").await, "New password must have at least 8 characters.");
    assert_eq!(console.ask("$('#current-password-error')").await, Value::Null);

    change(PASSWORD, "a password that is new").await;
    assert_eq!(console.said("#change-password output").await, "Changed. 0 other sessions were ended.");
    assert_eq!(console.app.anonymous().login(ADA, "a password that is new").await.status, 200);
    let kinds = "$$('#event-rows .what').map(what => what.innerText).slice(0, 2)";
    console.until("it is among the events", &format!("{kinds}[0] === 'Password changed'")).await;
    assert_eq!(console.ask(kinds).await[1], "Wrong password at a password change");
}

#[tokio::test]
async fn events_come_in_parts() {
    let Some(console) = Console::signed_up().await else { return };
    for _ in 0..21 {
        console.app.login(ADA).await;
    }
    console.open("").await;
    for count in [10, 20, 22] {
        console.until("the next part is there", &format!("$$('#event-rows li').length === {count}")).await;
        let more = console.ask("$('#older').checkVisibility()").await;
        assert_eq!(more, count < 22);
        if count < 22 {
            console.browser.click("#older").await;
        }
    }
    assert_eq!(console.text("#event-rows li:last-child .what").await, "Account created");
}

#[tokio::test]
async fn the_page_says_why_it_was_signed_out() {
    let Some(console) = Console::signed_up().await else { return };
    let refresh = async || console.browser.click("#refresh").await;
    let sign_in = async || {
        console.browser.type_into("#sign-in-email", ADA).await;
        console.browser.type_into("#sign-in-password", PASSWORD).await;
        console.browser.click("#sign-in .primary").await;
        console.arrive().await;
    };
    let stolen = console.browser.cookies().await[0]["value"].as_str().unwrap().to_owned();
    for generation in 1..=2 {
        refresh().await;
        wait_until("it is refreshed", async || console.generation().await == generation).await;
        console.until("that is said", "$('#token output').textContent && $('#refresh').ariaBusy === 'false'").await;
        console.app.database.close_grace_windows().await;
    }
    console.app.anonymous().refresh(&stolen).await.assert_problem(401, "refresh_token_replayed");
    refresh().await;
    console.see("sign-in").await;
    let why = console.said(".notice").await;
    assert!(why.contains("An old token of this session was used again: somebody may have a copy"), "{why}");
    console.open("").await;
    console.see("sign-in").await;
    assert_eq!(console.said(".notice").await, why, "also when it is loaded again");

    sign_in().await;
    console.app.login(ADA).await.logout_all(json!({"keep_current": true})).await;
    refresh().await;
    console.see("sign-in").await;
    let why = console.said(".notice").await;
    assert!(why.contains("You were signed out everywhere."), "{why}");

    for (sql, words) in [
        ("ended_by = 'password_changed', ended_at = now()", "The password was changed"),
        ("ended_by = 'revoked', ended_at = now()", "ended from another device, or by an administrator"),
        ("rotated_at = now() - interval '8 days', created_at = now() - interval '9 days'", "was not used for too long"),
    ] {
        sign_in().await;
        console.app.database.execute(&format!("update sessions set {sql} where ended_at is null")).await;
        refresh().await;
        console.see("sign-in").await;
        let why = console.said(".notice").await;
        assert!(why.contains(words), "{why}");
    }
}

#[tokio::test]
async fn while_the_service_is_away_the_page_says_so_and_goes_on_by_itself() {
    let Some(console) = Console::signed_up().await else { return };
    let away = "The service does not answer. Nothing is lost: this page goes on by itself when it is back.";

    console.block(&SERVICE).await;
    console.browser.click("#refresh").await;
    assert_eq!(console.said("#away").await, away);
    console.block(&[]).await;
    console.until("it is back", "!$('#away').textContent").await;
    wait_until("the refresh was made up for", async || console.generation().await == 1).await;
    console.see("account").await;

    console.block(&SERVICE).await;
    console.open("").await;
    assert_eq!(console.said("#away").await, away);
    console.see("unknown").await;
    // Long enough for the client to give up until it is woken.
    let count = "const plain = fetch; window.looks = 0; window.fetch = (...call) => (looks += call[0] === '/health/ready', plain(...call))";
    console.browser.run(count, json!({})).await;
    console.until("the page has looked for ten seconds", "looks >= 5").await;
    console.block(&[]).await;
    console.arrive().await;
    console.until("it is back", "!$('#away').textContent").await;
}

#[tokio::test]
async fn over_plain_http_from_another_machine_the_page_says_that_it_cannot_work() {
    let Some(console) = Console::signed_up().await else { return };
    console.browser.goto(&format!("http://console.example.test:{}", console.app.address.port())).await;
    console.see("sign-in").await;
    let notice = console.said(".notice").await;
    assert!(notice.starts_with("This page came by plain HTTP from another machine."), "{notice}");
    console.browser.type_into("#sign-in-email", ADA).await;
    console.browser.type_into("#sign-in-password", PASSWORD).await;
    console.browser.click("#sign-in .primary").await;
    let said = console.said("#sign-in output").await;
    assert!(said.starts_with("The service does not let this page keep anybody signed in"), "{said}");
}

#[tokio::test]
async fn links_in_mails_lead_to_the_page_which_takes_their_token_out_of_the_address() {
    if Browser::programs().is_none() {
        return skipped("CHROMIUM", "apt-get install chromium chromium-driver");
    }
    let server = MailServer::start(Tls::None).await;
    let app = mail::start_with(&server, &ON).await;
    let console = Console { browser: Browser::start().await, app };
    console.app.register(ADA).await;
    let token = server.mail_about(ADA, "Please confirm your e-mail address").await.token();
    console.open(&format!("#verify={token}")).await;
    console.see("verify").await;
    assert_eq!(console.ask("location.href").await, format!("{}/#verify", console.address()));
    console.browser.click("#verify button").await;
    assert_eq!(console.said("#verify output").await, "The address is verified.");
    console.browser.click("#verify button").await;
    console.until("it is used up", "$('#verify output').textContent.startsWith('The link was used')").await;

    console.browser.click("[data-view=verify] .else a").await;
    console.see("sign-in").await;
    console.browser.click("a[href='#forgotten']").await;
    console.browser.type_into("#forgotten-email", ADA).await;
    console.browser.click("#forgotten button").await;
    assert_eq!(console.said("#forgotten output").await, "If there is such an account, a mail is on its way.");
    let token = server.mail_about(ADA, "Set a new password").await.token();
    console.open(&format!("#reset={token}")).await;
    console.see("reset").await;
    console.browser.type_into("#reset-password", "short").await;
    console.browser.click("#reset .primary").await;
    assert_eq!(console.said("#reset-password-error").await, "New password must have at least 8 characters.");
    console.browser.type_into("#reset-password", " no more").await;
    console.browser.click("#reset .primary").await;
    console.see("sign-in").await;
    assert_eq!(console.said(".notice").await, "The password is set. Sign in with it.");
    assert_eq!(console.app.anonymous().login(ADA, "short no more").await.body["user"]["email_verified"], true);
}

#[tokio::test]
async fn an_account_is_exported_and_deleted() {
    let Some(console) = Console::signed_up().await else { return };
    console.browser.click("#export button").await;
    assert_eq!(console.said("#export output").await, "Downloaded.");
    console.browser.click("#data summary").await;
    console.browser.type_into("#delete-password", "not that").await;
    console.browser.click("#delete .danger").await;
    assert_eq!(console.said("#delete-password-error").await, "Your password is wrong.");
    console.browser.run("document.querySelector('#delete-password').value = ''", json!({})).await;
    console.browser.type_into("#delete-password", PASSWORD).await;
    console.browser.click("#delete .danger").await;
    console.see("sign-in").await;
    assert_eq!(console.said(".notice").await, "The account is deleted.");
    assert_eq!(console.app.database.number("select count(*) from users").await, 0);
}

#[tokio::test]
async fn nothing_is_asked_of_another_origin_and_no_rule_of_the_policy_is_broken() {
    let Some(console) = Console::start().await else { return };
    let watch = "window.broken = []; addEventListener('securitypolicyviolation', ({effectiveDirective}) => broken.push(effectiveDirective))";
    console.browser.devtools("Page.addScriptToEvaluateOnNewDocument", json!({ "source": watch })).await;
    console.open("#sign-up").await;
    console.see("sign-up").await;
    console.browser.type_into("#sign-up-email", ADA).await;
    console.browser.type_into("#sign-up-password", PASSWORD).await;
    console.browser.click("#sign-up .primary").await;
    console.arrive().await;
    for button in ["#refresh", "#token-show", "#token-copy", "#name button", "#export button"] {
        console.browser.click(button).await;
    }
    console.said("#export output").await;
    console.browser.click("#sign-out").await;
    console.see("sign-in").await;

    let asked = console.ask("performance.getEntriesByType('resource').map(({name}) => name)").await;
    let asked: Vec<&str> = asked.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    assert!(asked.len() > 20 && asked.iter().all(|name| name.starts_with(&console.address())), "{asked:?}");
    assert_eq!(console.ask("broken").await, json!([]));
    // What would break it is seen, and has no effect.
    let attempts = r#"
        document.body.setAttribute("style", "color: red");
        try { document.body.insertAdjacentHTML("beforeend", "<b>x</b>"); } catch {}
        await fetch("https://stranger.other.test/").catch(() => {});
        await new Promise(later => Object.assign(document.body.appendChild(new Image()), {src: "https://stranger.other.test/x.png", onerror: later}));
    "#;
    let broken = ["connect-src", "img-src", "require-trusted-types-for", "style-src-attr"];
    let bolds = console.ask("$$('b').length").await;
    console.browser.run(attempts, json!({})).await;
    console.until("each is seen", "broken.length === 4").await;
    assert_eq!(console.ask("[broken.sort(), $$('b').length]").await, json!([broken, bolds]));
}

#[tokio::test]
async fn everybody_can_use_it_light_or_dark_wide_or_narrow() {
    if !Browser::has_axe() {
        return;
    }
    let Some(console) = Console::start().await else { return };
    for view in ["sign-in", "sign-up", "forgotten", "reset=token", "verify=token"] {
        console.open(&format!("#{view}")).await;
        console.see(view.split('=').next().unwrap()).await;
        console.assert_fit_for_all(view).await;
    }
    console.open("#sign-up").await;
    console.see("sign-up").await;
    console.browser.click("#sign-up .primary").await;
    console.until("rules are told", "$$('#sign-up [aria-invalid]').length === 2").await;
    console.assert_fit_for_all("errors").await;

    console.browser.type_into("#sign-up-email", ADA).await;
    console.browser.type_into("#sign-up-password", PASSWORD).await;
    console.browser.click("#sign-up .primary").await;
    console.see("account").await;
    other_device(&console.app, "", "curl/8.9.1").await.logout().await;
    other_device(&console.app, &"long".repeat(50), "").await;
    console.app.anonymous().login(ADA, "not that").await;
    console.open("").await;
    console
        .until("the lists are there", "$$('#live-sessions li').length === 2 && $$('#token-claims div').length")
        .await;
    console.assert_fit_for_all("signed in").await;
    for button in ["#token-show", "#ended summary", "#data summary", "#change-password > button", "#name button"] {
        console.browser.click(button).await;
    }
    console.until("rules are told", "$$('#change-password [aria-invalid]').length === 2").await;
    console.said("#name output").await;
    console.assert_fit_for_all("all open").await;

    console.block(&SERVICE).await;
    console.browser.click("#refresh").await;
    console.said("#away").await;
    console.assert_fit_for_all("away").await;
    console.open("").await;
    console.said("#away").await;
    console.see("unknown").await;
    console.assert_fit_for_all("unknown").await;
    console.block(&[]).await;
    console.see("account").await;

    console
        .app
        .database
        .execute("update sessions set ended_by = 'replayed', ended_at = now() where ended_at is null")
        .await;
    // By script: the page may have found out by itself, and the button be gone.
    console.ask("$('#refresh').click()").await;
    console.see("sign-in").await;
    console.said(".notice").await;
    console.assert_fit_for_all("signed out, and why").await;
}
