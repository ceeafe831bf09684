//! The example of an API that verifies by itself.

use std::collections::BTreeMap;
use std::net::TcpListener;

use claviger::auth::clients;
use claviger::domain::client::Scopes;
use claviger::domain::user::Line;
use resource_server::Settings;
use uuid::Uuid;

use super::{Anonymous, JWT_SECRET, TestDatabase};

/// `examples/resource-server` with these variables besides, for the service at this address on this database. On a thread of its
/// own, which ends with the process.
pub(crate) async fn resource_server(service: &str, database: &TestDatabase, variables: &[(&str, &str)]) -> Anonymous {
    let name = Line::parse(&format!("api {}", Uuid::new_v4()), "name").unwrap().unwrap();
    let scopes = Scopes::known(["revocations:read"]);
    let client = clients::add(&database.owner(), &name, &scopes).await.unwrap().expect("the name is free");
    let id = client.id.to_string();
    let always = [
        ("JWT_SECRET", JWT_SECRET),
        ("AUTH_URL", service),
        ("CLIENT_ID", &id),
        ("CLIENT_SECRET", client.secret.reveal()),
    ];
    let all = always.iter().chain(variables).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let settings = Settings::read(&all.collect::<BTreeMap<_, _>>()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let caller = Anonymous::at(listener.local_addr().unwrap());
    std::thread::spawn(move || {
        actix_web::rt::System::new().block_on(async { resource_server::serve(settings, listener).unwrap().await })
    });
    caller
}
