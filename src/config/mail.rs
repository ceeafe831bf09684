//! The section `mail`: how mails leave, and what they say.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use lettre::message::Mailbox;
use secrecy::SecretString;

use super::postgres_url::percent_decode;
use super::reader::Reader;
use crate::domain::letter::Letters;

/// How mails leave, and what they say.
#[derive(Debug)]
pub struct Mail {
    /// Who takes them.
    pub server: MailServer,
    /// Who they are from.
    pub from: Mailbox,
    /// The authorities that may vouch for the mail server, as PEM; those of the system if none are named.
    pub authorities: Option<String>,
    /// The page that confirms an address, with `{token}` in it.
    pub verify_link: String,
    /// The page that asks for a new password, with `{token}` in it.
    pub reset_link: String,
    /// What mails say.
    pub letters: Letters,
    /// How long a token for an address is good for.
    pub verify_ttl: Duration,
    /// How long a token for a new password is good for.
    pub reset_ttl: Duration,
    /// Whether an account can be used only once its address is verified.
    pub require_verified_email: bool,
}

/// Who takes mails.
#[derive(Clone)]
pub enum MailServer {
    /// A server that speaks SMTP.
    Smtp(SmtpServer),
    /// A folder, for development: each mail becomes a file.
    Folder(PathBuf),
}

/// A server that speaks SMTP.
#[derive(Clone)]
pub struct SmtpServer {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the way to it is protected.
    pub protection: Protection,
    /// Who we are there: name and password.
    pub credentials: Option<(String, SecretString)>,
}

/// How the way to a mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// Not at all.
    None,
    /// TLS after STARTTLS, or nothing is sent.
    StartTls,
    /// TLS from the first byte.
    Tls,
}

impl MailServer {
    /// Reads a URL such as `smtp://user:password@mail.example.com:587`, or `file:DIR`.
    ///
    /// # Errors
    /// The rule that is broken, without any part of the URL that may be secret.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(folder) = text.strip_prefix("file:") {
            let folder = folder.strip_prefix("//").unwrap_or(folder);
            return if folder.is_empty() { Err("names no folder".to_owned()) } else { Ok(Self::Folder(folder.into())) };
        }
        let (scheme, rest) = text.split_once("://").ok_or("must begin with smtp://, smtps:// or file:")?;
        let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
        // Else the password's end would be found elsewhere than it is.
        if query.contains(['?', '@', '/']) || address.trim_end_matches('/').contains('/') {
            return Err("has /, ? or @ in its password or options; write %2F, %3F and %40".to_owned());
        }
        let (user, address) = address
            .trim_end_matches('/')
            .rsplit_once('@')
            .map_or((None, address), |(user, address)| (Some(user), address));
        let (host, port) = split_port(address.trim_end_matches('/')).ok_or("names no host, or a port that is none")?;
        let protection = match (scheme, query) {
            ("smtps", "") => Protection::Tls,
            ("smtp", "tls=none") => Protection::None,
            ("smtp", "") if is_loopback(&host) => Protection::None,
            ("smtp", "" | "tls=required") => Protection::StartTls,
            ("smtp", _) => return Err("may have the option tls=required or tls=none, and no other".to_owned()),
            ("smtps", _) => return Err("smtps:// has no options: it is TLS from the first byte".to_owned()),
            _ => return Err("must begin with smtp://, smtps:// or file:".to_owned()),
        };
        let usual = match protection {
            Protection::None => 25,
            Protection::StartTls => 587,
            Protection::Tls => 465,
        };
        let credentials = user.map(|user| {
            let (user, password) = user.split_once(':').ok_or("names a user without a password")?;
            let decoded = |text| percent_decode(text).ok_or("has a user or password that is not percent-encoded UTF-8");
            Ok::<_, &str>((decoded(user)?, SecretString::from(decoded(password)?)))
        });
        let credentials = credentials.transpose()?;
        Ok(Self::Smtp(SmtpServer { host, port: port.unwrap_or(usual), protection, credentials }))
    }

    /// Whether a password would travel where others can read it.
    fn exposes_password(&self) -> bool {
        let exposes = |server: &SmtpServer| server.protection == Protection::None && server.credentials.is_some();
        matches!(self, Self::Smtp(server) if exposes(server) && !is_loopback(&server.host))
    }
}

impl fmt::Display for MailServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Smtp(SmtpServer { host, port, .. }) => write!(f, "host {host} port {port}"),
            Self::Folder(folder) => write!(f, "folder {}", folder.display()),
        }
    }
}

impl fmt::Debug for MailServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MailServer({self})")
    }
}

/// Host and port, which an IPv6 address has in brackets.
fn split_port(address: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => address.split_at(address.find(':').unwrap_or(address.len())),
    };
    let port =
        if port.is_empty() { None } else { Some(port.strip_prefix(':')?.parse().ok().filter(|port| *port != 0)?) };
    let good = !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || ".-_:".contains(c));
    good.then(|| (host.to_owned(), port))
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// None where no mail is sent. Problems are noted by the reader.
pub(super) fn read_mail(r: &mut Reader) -> Option<Mail> {
    let verify_ttl = r.duration("mail.verify_ttl", super::MINUTE..=30 * super::DAY);
    let reset_ttl = r.duration("mail.reset_ttl", super::MINUTE..=super::DAY);
    let require_verified_email = r.boolean("mail.require_verified_email");
    let letters = read_letters(r);
    let authorities = r.certificates("mail.ca_file");
    let Some(url) = r.optional_text("mail.url") else {
        if require_verified_email {
            r.problem("mail.require_verified_email", "needs mail.url: nobody could verify an address");
        }
        return None;
    };
    let server = MailServer::parse(&url).map_err(|rule| r.problem("mail.url", &rule)).ok();
    if server.as_ref().is_some_and(MailServer::exposes_password) {
        r.warn("mail.url sends its password where others can read it: tls=none is for servers on this machine");
    }
    let from = r.text("mail.from");
    let from =
        from.parse().map_err(|_error| r.problem("mail.from", "is no sender such as Shop <shop@example.com>")).ok();
    let verify_link = read_link(r, "mail.verify_link");
    let reset_link = read_link(r, "mail.reset_link");
    Some(Mail {
        server: server?,
        from: from?,
        authorities,
        verify_link: verify_link?,
        reset_link: reset_link?,
        letters: letters?,
        verify_ttl,
        reset_ttl,
        require_verified_email,
    })
}

fn read_link(r: &mut Reader, key: &str) -> Option<String> {
    let link = r.text(key);
    let good = link.matches("{token}").count() == 1
        && link.split_once("://").is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.starts_with('{'))
        && !link.chars().any(|c| c.is_whitespace() || c.is_control() || "<>\"".contains(c));
    if !good {
        r.problem(key, "must be a page with {token} in it, such as https://app.example.com/reset?token={token}");
    }
    good.then_some(link)
}

fn read_letters(r: &mut Reader) -> Option<Letters> {
    let mut own = BTreeMap::new();
    if let Some(folder) = r.optional_text("mail.templates") {
        let files = fs::read_dir(&folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let files =
            files.map_err(|error| r.problem("mail.templates", &format!("{folder} cannot be read: {error}"))).ok()?;
        for file in files {
            let name = file.file_name().to_string_lossy().into_owned();
            // Editors and file systems leave such files behind.
            if name.starts_with('.') || name.ends_with('~') || file.path().is_dir() {
                continue;
            }
            match fs::read_to_string(file.path()) {
                Ok(text) => drop(own.insert(name, text)),
                Err(error) => r.problem("mail.templates", &format!("{name} cannot be read: {error}")),
            }
        }
    }
    let letters = Letters::new(&own);
    letters.map_err(|problems| problems.iter().for_each(|problem| r.problem("mail.templates", problem))).ok()
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn smtp(url: &str) -> (String, u16, Protection, Option<(String, String)>) {
        match MailServer::parse(url).unwrap() {
            MailServer::Smtp(SmtpServer { host, port, protection, credentials }) => {
                let credentials = credentials.map(|(user, password)| (user, password.expose_secret().to_owned()));
                (host, port, protection, credentials)
            }
            MailServer::Folder(folder) => panic!("{}", folder.display()),
        }
    }

    #[test]
    fn tls_is_the_rule_and_its_absence_said() {
        let protection = |url| {
            let (host, port, protection, _) = smtp(url);
            (host, port, protection)
        };
        let host = || "mail.example.com".to_owned();
        assert_eq!(protection("smtp://mail.example.com"), (host(), 587, Protection::StartTls));
        assert_eq!(protection("smtp://mail.example.com/?tls=required"), (host(), 587, Protection::StartTls));
        assert_eq!(protection("smtp://mail.example.com:2525?tls=none"), (host(), 2525, Protection::None));
        assert_eq!(protection("smtps://mail.example.com"), (host(), 465, Protection::Tls));
        assert_eq!(protection("smtp://localhost"), ("localhost".to_owned(), 25, Protection::None));
        assert_eq!(protection("smtp://[::1]:1025"), ("::1".to_owned(), 1025, Protection::None));
        assert_eq!(
            protection("smtp://127.0.0.1:1025?tls=required"),
            ("127.0.0.1".to_owned(), 1025, Protection::StartTls)
        );
    }

    #[test]
    fn a_user_and_a_password_may_have_any_characters() {
        let (host, _, _, credentials) = smtp("smtps://ada%40example.com:p%3A%2F%3F%23%40:x@h");
        assert_eq!((host.as_str(), credentials), ("h", Some(("ada@example.com".to_owned(), "p:/?#@:x".to_owned()))));
    }

    #[test]
    fn a_folder_is_named_with_file() {
        for (url, expected) in [("file:.claviger/mails", ".claviger/mails"), ("file:///var/mails", "/var/mails")] {
            assert!(matches!(MailServer::parse(url), Ok(MailServer::Folder(folder)) if folder.as_os_str() == expected));
        }
    }

    #[test]
    fn a_bad_url_is_refused_without_its_password() {
        for url in [
            "mail.example.com",
            "http://u:hunter2@h",
            "smtp://u:hunter2@",
            "smtp://u:hunter2@h:port",
            "smtp://u:hunter2@h:0",
            "smtp://u:hunter2@h:",
            "smtp://u:hun/ter2@h",
            "smtp://u:hun?ter2@h",
            "smtp://u:hunter2@h?tls=opportunistic",
            "smtps://u:hunter2@h?tls=none",
            "smtp://hunter2@h",
            "smtp://u:hunter2%ff@h",
            "smtp://u:hunter2@[::1",
            "smtp://u:hunter2@a b",
            "file:",
        ] {
            let problem = MailServer::parse(url).expect_err(url);
            assert!(!problem.contains("hunter2") && !problem.contains("ter2"), "{url}: {problem}");
        }
    }

    #[test]
    fn the_password_is_never_shown() {
        let server = MailServer::parse("smtp://u:hunter2@h").unwrap();
        assert_eq!(format!("{server} {server:?}"), "host h port 587 MailServer(host h port 587)");
    }
}
