//! The example of an API that verifies by itself.

use std::net::TcpListener;

use crate::support::{Account, Anonymous, JWT_SECRET, TestApp, wait_until};

#[path = "../../examples/resource_server/api.rs"]
mod api;

/// The API over a test's service, on a thread of its own that ends with the process.
async fn start(app: &TestApp) -> Anonymous {
    let program = app.program("resource server", "revocations:read").await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let caller = Anonymous::at(listener.local_addr().unwrap());
    let settings = api::Settings {
        jwt_secret: JWT_SECRET.to_owned(),
        auth_url: format!("http://{}", app.address),
        client_id: program.id,
        client_secret: program.secret,
    };
    std::thread::spawn(move || {
        actix_web::rt::System::new().block_on(async { api::serve(settings, listener).unwrap().await })
    });
    caller
}

async fn items(api: &Anonymous, account: &Account) -> u16 {
    let request = api.request(reqwest::Method::GET, "/items").bearer_auth(&account.access_token);
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn an_api_that_verifies_offline_refuses_ended_sessions_within_seconds() {
    let app = TestApp::start().await;
    let api = start(&app).await;
    let phone = app.register("ada@example.com").await;
    let laptop = app.login("ada@example.com").await;
    wait_until("the API has the list", async || items(&api, &phone).await != 503).await;
    assert_eq!((items(&api, &phone).await, items(&api, &laptop).await), (200, 200));
    assert_eq!(api.http.get(format!("{}/items", api.base)).send().await.unwrap().status(), 401);

    phone.logout().await;

    wait_until("the API has heard", async || items(&api, &phone).await == 401).await;
    assert_eq!(items(&api, &laptop).await, 200);
}
