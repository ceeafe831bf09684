//! The way to a Postgres that insists on TLS and passwords.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, Ordering};

use claviger::config;
use claviger::dev::cluster::Cluster;
use claviger::store::migrations::migrate;
use claviger::telemetry::chain;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use crate::support::{ServerProcess, environment, own_cluster};

struct TlsPostgres {
    cluster: Cluster,
    authority: tempfile::NamedTempFile,
    port: u16,
}

/// A port for each server of this process, below those that the kernel gives out to outgoing connections.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = 20_000 + (std::process::id() % 10_000) as u16;
    let mut candidates = std::iter::repeat_with(|| start + NEXT.fetch_add(1, Ordering::Relaxed));
    candidates.find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap()
}

impl TlsPostgres {
    /// A server with a certificate for `localhost` from an authority that no system knows.
    async fn start() -> Self {
        let port = free_port();
        let cluster = own_cluster(&["listen_addresses=127.0.0.1", &format!("port={port}")]).await;
        let authority_key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = parameters.self_signed(&authority_key).unwrap();
        let issuer = Issuer::new(parameters, authority_key);
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();

        let data = cluster.folder().join("data");
        put(data.join("server.crt"), &certificate.pem());
        put(data.join("server.key"), &key.serialize_pem());
        put(data.join("pg_hba.conf"), "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n");
        let (client, connection) =
            tokio_postgres::connect(&cluster.default_url(), tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        for sql in [
            "create role keeper login superuser password 'hunter2'",
            "alter system set ssl = on",
            "select pg_reload_conf()",
        ] {
            client.batch_execute(sql).await.unwrap();
        }
        let authority_file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(authority_file.path(), authority.pem()).unwrap();
        Self { cluster, authority: authority_file, port }
    }

    fn url(&self, host: &str, query: &str) -> String {
        let query = query.replace("CA", self.authority.path().to_str().unwrap());
        format!("postgres://keeper:hunter2@{host}:{}/claviger?{query}", self.port)
    }

    async fn connects(&self, host: &str, query: &str) -> Result<usize, String> {
        let environment = environment(&self.url(host, query));
        let settings = config::load(None, &environment, &Default::default()).unwrap().settings.database;
        migrate(&settings, None).await.map_err(|error| chain(&error))
    }
}

/// Writes a file that belongs to the server's account.
fn put(path: PathBuf, text: &str) {
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let owner = path.parent().unwrap().metadata().unwrap();
    chown(path, Some(owner.uid()), Some(owner.gid())).unwrap();
}

#[tokio::test]
async fn a_url_says_how_the_way_to_the_database_is_protected() {
    let postgres = TlsPostgres::start().await;
    crate::support::wait_until("TLS is on", async || postgres.connects("localhost", "sslmode=prefer").await.is_ok())
        .await;
    for (host, query) in [
        ("localhost", "sslmode=verify-full&sslrootcert=CA"),
        ("localhost", "sslmode=require&sslrootcert=CA&channel_binding=require"),
        ("localhost", "sslmode=verify-ca&sslrootcert=CA"),
        ("127.0.0.1", "sslmode=verify-ca&sslrootcert=CA"),
        ("localhost", ""),
        ("127.0.0.1", "sslmode=prefer&channel_binding=require"),
    ] {
        assert_eq!(postgres.connects(host, query).await, Ok(0), "{host} {query}");
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
        let told = postgres.connects(host, query).await.unwrap_err();
        assert!(told.contains(reason) && !told.contains("hunter2"), "{host} {query}: {told}");
    }
}

#[tokio::test]
async fn the_service_runs_over_tls_with_channel_binding() {
    let postgres = TlsPostgres::start().await;
    let url = postgres.url("localhost", "sslmode=require&sslrootcert=CA&channel_binding=require");
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
