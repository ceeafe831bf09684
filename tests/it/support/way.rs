//! The way from the servers under test to their database. `TEST_THROUGH` chooses another than the straight one, for all
//! tests of the API at once.

use claviger::config;
use claviger::store::migrations::grants;

use super::{PgBouncer, TestDatabase};

/// A way, and what keeps it open.
pub(crate) struct Way {
    pub(crate) url: String,
    pub(crate) settings: Vec<(&'static str, &'static str)>,
    _pooler: Option<PgBouncer>,
}

/// What `TEST_THROUGH` says.
pub(crate) fn through() -> Option<String> {
    config::environment().remove("TEST_THROUGH").filter(|way| !way.is_empty())
}

impl Way {
    pub(crate) async fn to(database: &TestDatabase) -> Self {
        let straight = |url| Self { url, settings: Vec::new(), _pooler: None };
        match through().as_deref() {
            None | Some("tls" | "citus") => straight(database.url.clone()),
            Some("pgbouncer") => {
                let pooler = PgBouncer::before(database).await;
                let settings = vec![
                    ("CLAVIGER__DATABASE__PREPARED_STATEMENTS", "false"),
                    ("CLAVIGER__DATABASE__STATEMENT_TIMEOUT", "0s"),
                ];
                Self { url: pooler.url.clone(), settings, _pooler: Some(pooler) }
            }
            Some("serving_role") => straight(serving_role(database).await.1),
            Some(other) => panic!("TEST_THROUGH is {other}, and may be tls, pgbouncer, serving_role or citus"),
        }
    }
}

/// Makes a role that has the rights of one that only serves; gives its name and its URL.
pub(crate) async fn serving_role(database: &TestDatabase) -> (String, String) {
    let role = format!("{}_serving", database.name);
    // By itself: on Citus the rights are given by another connection too.
    database.execute(&format!("create role {role} login password 'serving'")).await;
    database.execute(&grants(&role)).await;
    let url = database.url_as(&role, "serving");
    (role, url)
}
