//! A Postgres that insists on TLS and passwords over TCP.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::PathBuf;

use claviger::dev::cluster::Cluster;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use super::{free_port, own_cluster};

/// The server, and the authority that its certificate is from.
pub(crate) struct TlsPostgres {
    pub(crate) cluster: Cluster,
    authority: tempfile::NamedTempFile,
    port: u16,
}

impl TlsPostgres {
    /// A server with a certificate for `localhost` from an authority that no system knows.
    pub(crate) async fn start() -> Self {
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

    /// The URL of a database by way of `host`, with `CA` in the query standing for the authority's file.
    pub(crate) fn url(&self, host: &str, database: &str, query: &str) -> String {
        let query = query.replace("CA", self.authority.path().to_str().unwrap());
        format!("postgres://keeper:hunter2@{host}:{}/{database}?{query}", self.port)
    }
}

/// Writes a file that belongs to the server's account.
fn put(path: PathBuf, text: &str) {
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let owner = path.parent().unwrap().metadata().unwrap();
    chown(path, Some(owner.uid()), Some(owner.gid())).unwrap();
}
