//! The way to a Postgres that insists on TLS and passwords.

use claviger::config;
use claviger::store::migrations::migrate;
use claviger::telemetry::chain;

use crate::support::{ServerProcess, TlsPostgres, environment};

async fn connects(postgres: &TlsPostgres, host: &str, query: &str) -> Result<usize, String> {
    let environment = environment(&postgres.url(host, "claviger", query));
    let settings = config::load(None, &environment, &Default::default()).unwrap().settings.database;
    migrate(&settings, None).await.map_err(|error| chain(&error))
}

#[tokio::test]
async fn a_url_says_how_the_way_to_the_database_is_protected() {
    let postgres = TlsPostgres::start().await;
    crate::support::wait_until("TLS is on", async || connects(&postgres, "localhost", "sslmode=prefer").await.is_ok())
        .await;
    for (host, query) in [
        ("localhost", "sslmode=verify-full&sslrootcert=CA"),
        ("localhost", "sslmode=require&sslrootcert=CA&channel_binding=require"),
        ("localhost", "sslmode=verify-ca&sslrootcert=CA"),
        ("127.0.0.1", "sslmode=verify-ca&sslrootcert=CA"),
        ("localhost", ""),
        ("127.0.0.1", "sslmode=prefer&channel_binding=require"),
    ] {
        assert_eq!(connects(&postgres, host, query).await, Ok(0), "{host} {query}");
    }
    for (host, query, reason) in [
        ("127.0.0.1", "sslmode=verify-full&sslrootcert=CA", "certificate not valid for name"),
        ("localhost", "sslmode=verify-full", "invalid peer certificate"),
        ("localhost", "sslmode=require", "invalid peer certificate"),
        ("localhost", "sslmode=verify-ca", "invalid peer certificate"),
        ("localhost", "sslmode=disable", "no encryption"),
        ("localhost", "sslmode=verify-full&sslrootcert=/no/such/file", "/no/such/file"),
        ("localhost", "sslmode=verify-full&sslrootcert=/dev/null", "no root certificate"),
    ] {
        let told = connects(&postgres, host, query).await.unwrap_err();
        assert!(told.contains(reason) && !told.contains("hunter2"), "{host} {query}: {told}");
    }
}

#[tokio::test]
async fn the_service_runs_over_tls_with_channel_binding() {
    let postgres = TlsPostgres::start().await;
    let url = postgres.url("localhost", "claviger", "sslmode=require&sslrootcert=CA&channel_binding=require");
    let server = ServerProcess::ready(&url, &[]).await;
    let body = serde_json::json!({"email": "ada@example.com", "password": crate::support::PASSWORD});
    let answer = server.anonymous().post("/api/auth/register", body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let url = config::PostgresUrl::parse(&postgres.cluster.default_url()).unwrap();
    let (client, connection) = url.config.connect(tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let sql = "select bool_and(ssl) from pg_stat_ssl join pg_stat_activity using (pid) where usename = 'keeper'";
    assert!(client.query_one(sql, &[]).await.unwrap().get::<_, bool>(0));
}
