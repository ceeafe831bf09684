//! The address of the database. Reads first what the driver's own parser refuses: `sslmode=verify-full` and `verify-ca`,
//! and `sslrootcert`.

use std::fmt;
use std::path::PathBuf;

use tokio_postgres::config::{Host, SslMode};

use super::layers::Environment;

/// Where Postgres is, who we are there, and how the way is protected. `Debug` and `Display` show no password.
#[derive(Clone)]
pub struct PostgresUrl {
    /// For the driver.
    pub config: tokio_postgres::Config,
    /// How the way is protected.
    pub tls: Tls,
}

/// How the connection is protected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tls {
    /// `sslmode=disable`: not at all.
    Off,
    /// `sslmode=prefer`, the default as in libpq: encrypted if the server can, with no certificate checked. Stops
    /// somebody who listens, not somebody who answers in the server's place.
    Opportunistic,
    /// `sslmode=require` and `verify-full`: encrypted, certificate and name checked.
    Verified(RootCertificates),
    /// `sslmode=verify-ca`: encrypted, certificate checked, for whatever name.
    VerifiedAuthority(RootCertificates),
}

/// Which authorities may vouch for the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootCertificates {
    /// Those of the operating system.
    System,
    /// Those in a PEM file.
    File(PathBuf),
}

impl PostgresUrl {
    /// Reads a URL such as `postgres://user:password@host:5432/name?sslmode=verify-full`.
    ///
    /// # Errors
    /// The rule that is broken, without any part of the URL that may be secret.
    pub fn parse(text: &str) -> Result<Self, String> {
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Err("must begin with postgres:// or postgresql://".to_owned());
        }
        let (address, query) = text.split_once('?').unwrap_or((text, ""));
        // The driver would find the password's end elsewhere than we do, and our options in the password.
        if query.contains(['?', '@']) {
            return Err("has ? or @ in its password or options; write %3F and %40".to_owned());
        }
        let mut mode = "prefer".to_owned();
        let mut roots = RootCertificates::System;
        let mut rest = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("sslmode", value)) => value.clone_into(&mut mode),
                Some(("sslrootcert", "system")) => roots = RootCertificates::System,
                Some(("sslrootcert", value)) => {
                    let path = percent_decode(value).ok_or("sslrootcert is not percent-encoded UTF-8")?;
                    roots = RootCertificates::File(path.into());
                }
                Some(("sslcert" | "sslkey", _)) => {
                    return Err("client certificates (sslcert, sslkey) are not supported".to_owned());
                }
                _ => rest.push(pair),
            }
        }
        let mut config: tokio_postgres::Config =
            format!("{address}?{}", rest.join("&")).parse().map_err(|error| describe(&error))?;
        if config.get_ssl_mode() != SslMode::Prefer {
            return Err("names sslmode in a way that cannot be read".to_owned());
        }
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err("names no host".to_owned());
        }
        let (mode, tls) = match mode.as_str() {
            "disable" => (SslMode::Disable, Tls::Off),
            "allow" | "prefer" => (SslMode::Prefer, Tls::Opportunistic),
            "require" | "verify-full" => (SslMode::Require, Tls::Verified(roots)),
            "verify-ca" => (SslMode::Require, Tls::VerifiedAuthority(roots)),
            _ => return Err("sslmode must be disable, prefer, require, verify-ca or verify-full".to_owned()),
        };
        config.ssl_mode(mode);
        if config.get_application_name().is_none() {
            config.application_name("claviger");
        }
        Ok(Self { config, tls })
    }
}

/// The driver's error and its causes; they name options, never values.
fn describe(error: &tokio_postgres::Error) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("{error}{cause}")
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = |host: &Host| match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(path) => path.display().to_string(),
        };
        let hosts: Vec<String> = self.config.get_hosts().iter().map(host).collect();
        let ports: Vec<String> = self.config.get_ports().iter().map(u16::to_string).collect();
        let port = if ports.is_empty() { "5432".to_owned() } else { ports.join(",") };
        let user = self.config.get_user().unwrap_or("(the system's user)");
        let database = self.config.get_dbname().unwrap_or(user);
        write!(f, "host {} port {port} user {user} database {database}", hosts.join(","))
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresUrl({self}, {:?})", self.tls)
    }
}

/// A URL from the variables that the `postgres` container image and many platforms set; none without a host.
///
/// # Errors
/// The rule that is broken.
pub(super) fn from_parts(environment: &Environment) -> Option<Result<String, String>> {
    let get = |name: &str| environment.get(name).filter(|value| !value.is_empty());
    let host = get("POSTGRES_HOST")?;
    let user = get("POSTGRES_USER").map_or("postgres", String::as_str);
    let password = match (get("POSTGRES_PASSWORD"), get("POSTGRES_PASSWORD_FILE")) {
        (Some(password), _) => Some(password.clone()),
        (None, Some(path)) => match std::fs::read_to_string(path) {
            Ok(text) => Some(text.trim_end_matches(['\r', '\n']).to_owned()),
            Err(error) => return Some(Err(format!("POSTGRES_PASSWORD_FILE {path:?} cannot be read: {error}"))),
        },
        (None, None) => None,
    };
    let password = password.map(|text| format!(":{}", percent_encode(&text))).unwrap_or_default();
    let port = get("POSTGRES_PORT").map_or("5432", String::as_str);
    let database = get("POSTGRES_DB").map_or(user, String::as_str);
    let (user, host, database) = (percent_encode(user), percent_encode(host), percent_encode(database));
    Some(Ok(format!("postgres://{user}{password}@{host}:{port}/{database}")))
}

/// Encodes every byte but unreserved characters (RFC 3986 section 2.3).
#[must_use]
pub fn percent_encode(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

/// Decodes what [`percent_encode`] encodes; none if the bytes are no UTF-8.
pub(super) fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_neon_url_is_understood() {
        let url = "postgresql://owner:pw@ep-x.eu.neon.tech/neondb?sslmode=require&channel_binding=require";
        let url = PostgresUrl::parse(url).unwrap();
        assert_eq!(url.tls, Tls::Verified(RootCertificates::System));
        assert_eq!(url.config.get_channel_binding(), tokio_postgres::config::ChannelBinding::Require);
        assert_eq!(url.to_string(), "host ep-x.eu.neon.tech port 5432 user owner database neondb");
    }

    #[test]
    fn verification_is_read_from_the_url() {
        let tls = |query: &str| PostgresUrl::parse(&format!("postgres://h/d?{query}")).map(|url| url.tls);
        let file = || RootCertificates::File("/etc/my ca.pem".into());
        assert_eq!(tls(""), Ok(Tls::Opportunistic));
        assert_eq!(tls("sslmode=disable"), Ok(Tls::Off));
        assert_eq!(tls("sslmode=verify-full&sslrootcert=/etc/my%20ca.pem"), Ok(Tls::Verified(file())));
        assert_eq!(tls("sslrootcert=/etc/my%20ca.pem&sslmode=verify-ca"), Ok(Tls::VerifiedAuthority(file())));
        assert!(tls("sslmode=verify").unwrap_err().contains("sslmode must be"));
        assert!(tls("sslcert=/x").unwrap_err().contains("client certificates"));
    }

    #[test]
    fn a_bad_url_is_refused_without_its_password() {
        for url in [
            "mysql://u:hunter2@h/d",
            "postgres://u:hunter2@h:port/d",
            "postgres://u:hunter2@h/d?pgbouncer=true",
            "postgres://u:hunter2@h/d?sslmode=",
            "host=h password=hunter2",
            "postgres://u:hun?ter2@h/hunter2?sslmode=require",
            "postgres://u:hun@ter2?x@h/hunter2?sslmode=require",
            "postgres://u:hunter2@h/d?sslmod%65=require",
            "postgres://u:hunter2@",
        ] {
            let problem = PostgresUrl::parse(url).unwrap_err();
            assert!(!problem.contains("hunter2"), "{url}: {problem}");
        }
    }

    #[test]
    fn the_password_is_never_shown() {
        let url = PostgresUrl::parse("postgres://u:hunter2@h:6543/d").unwrap();
        let shown = format!("{url} {url:?}");
        assert!(shown.contains("port 6543") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn parts_make_a_url_whatever_characters_they_have() {
        let parts = [
            ("POSTGRES_HOST", "/run/postgresql"),
            ("POSTGRES_USER", "a@b"),
            ("POSTGRES_PASSWORD", "p:/?#[]@% ü"),
            ("POSTGRES_DB", "my db"),
        ];
        let environment = parts.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let url = from_parts(&environment).unwrap().unwrap();
        let url = PostgresUrl::parse(&url).unwrap();
        assert_eq!(url.to_string(), "host /run/postgresql port 5432 user a@b database my db");
        assert_eq!(url.config.get_password(), Some("p:/?#[]@% ü".as_bytes()));
    }
}
