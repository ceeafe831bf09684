//! One mail server, and connections to it that are used again.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use lettre::Address;
use lettre::address::Envelope;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{
    AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters, TlsParametersBuilder,
};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt, Rset};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter};
use secrecy::ExposeSecret as _;

use super::{Cause, SetupError, Undelivered};
use crate::config::{self, Protection, SmtpServer};

/// For a connection with TLS and login, and for what a used one is asked before it is used again.
pub(super) const CONNECT_LIMIT: Duration = Duration::from_secs(15);
/// For handing over a mail. Servers look for viruses before they answer.
pub(super) const SEND_LIMIT: Duration = Duration::from_secs(30);
/// Servers hang up on who keeps silent.
const IDLE_LIMIT: Duration = Duration::from_secs(20);

pub(super) struct Smtp {
    host: String,
    port: u16,
    protection: Protection,
    tls: Option<TlsParameters>,
    credentials: Option<Credentials>,
    hello: ClientId,
    idle: Mutex<Vec<(AsyncSmtpConnection, Instant)>>,
}

/// A connection, lent for one mail.
pub(super) struct Line<'a> {
    smtp: &'a Smtp,
    connection: AsyncSmtpConnection,
}

impl Smtp {
    pub(super) fn new(server: &SmtpServer, settings: &config::Mail) -> Result<Self, SetupError> {
        let SmtpServer { host, port, protection, credentials } = server.clone();
        let tls = match protection {
            Protection::None => None,
            Protection::StartTls | Protection::Tls => Some(parameters(&host, settings.authorities.as_deref())?),
        };
        let credentials =
            credentials.map(|(user, password)| Credentials::new(user, password.expose_secret().to_owned()));
        let hello = ClientId::Domain(settings.from.email.domain().to_owned());
        Ok(Self { host, port, protection, tls, credentials, hello, idle: Mutex::default() })
    }

    /// A connection that is ready for a mail.
    pub(super) async fn line(&self) -> Result<Line<'_>, Undelivered> {
        let connecting = async {
            while let Some(mut connection) = self.take_idle() {
                if connection.test_connected().await {
                    return Ok(connection);
                }
            }
            self.connect().await
        };
        let connected = tokio::time::timeout(CONNECT_LIMIT, connecting).await;
        let connected =
            connected.map_err(|elapsed| Undelivered::Later("the mail server does not answer", elapsed.into()))?;
        let connection =
            connected.map_err(|error| Undelivered::Later("the mail server cannot be used", told(&error)))?;
        Ok(Line { smtp: self, connection })
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, Error> {
        let from_the_start = self.tls.clone().filter(|_| self.protection == Protection::Tls);
        let server = (self.host.as_str(), self.port);
        let limit = Some(CONNECT_LIMIT);
        let mut connection =
            AsyncSmtpConnection::connect_tokio1(server, limit, &self.hello, from_the_start, None).await?;
        if let Some(tls) = self.tls.clone().filter(|_| self.protection == Protection::StartTls) {
            connection.starttls(tls, &self.hello).await?;
        }
        if let Some(credentials) = &self.credentials {
            connection.auth(&[Mechanism::Plain, Mechanism::Login], credentials).await?;
        }
        Ok(connection)
    }

    fn take_idle(&self) -> Option<AsyncSmtpConnection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(_, since)| since.elapsed() < IDLE_LIMIT);
        idle.pop().map(|(connection, _)| connection)
    }
}

impl Line<'_> {
    /// Hands over a mail. A connection on which something is open, or went wrong, is closed and not used again: the answer to
    /// one mail must never be taken for that to the next.
    pub(super) async fn send(mut self, envelope: &Envelope, mail: &[u8]) -> Result<(), Undelivered> {
        let sending = tokio::time::timeout(SEND_LIMIT, self.hand_over(envelope, mail)).await;
        let sent = sending
            .unwrap_or_else(|elapsed| Err(Undelivered::Later("the mail server stopped to answer", elapsed.into())));
        match &sent {
            Ok(()) => self.keep(),
            Err(Undelivered::Never(..)) => {
                let reset = tokio::time::timeout(CONNECT_LIMIT, self.connection.command(Rset)).await;
                if reset.is_ok_and(|answer| answer.is_ok()) {
                    self.keep();
                }
            }
            Err(Undelivered::Later(..)) => {}
        }
        sent
    }

    async fn hand_over(&mut self, envelope: &Envelope, mail: &[u8]) -> Result<(), Undelivered> {
        let connection = &mut self.connection;
        let mut parameters = Vec::new();
        let is_ascii = |address: &Address| AsRef::<str>::as_ref(address).is_ascii();
        if !envelope.from().into_iter().chain(envelope.to()).all(is_ascii) {
            if !connection.server_info().supports_feature(Extension::SmtpUtfEight) {
                return Err(Undelivered::Never("the mail server takes addresses in ASCII alone", "no SMTPUTF8".into()));
            }
            parameters.push(MailParameter::SmtpUtfEight);
        }
        if !mail.is_ascii() && connection.server_info().supports_feature(Extension::EightBitMime) {
            parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
        }
        // Whether we may send at all is between us and the server, and an operator can heal it.
        let from = connection.command(Mail::new(envelope.from().cloned(), parameters)).await;
        from.map_err(|error| Undelivered::Later("the mail server refuses the sender", told(&error)))?;
        for to in envelope.to() {
            let accepted = connection.command(Rcpt::new(to.clone(), Vec::new())).await;
            accepted.map_err(|error| refused("the mail server refuses the recipient", &error))?;
        }
        let refused = |error: Error| refused("the mail server refuses the mail", &error);
        connection.command(Data).await.map_err(refused)?;
        connection.message(mail).await.map(drop).map_err(refused)
    }

    /// Keeps the connection for the next mail.
    pub(super) fn keep(self) {
        let mut idle = self.smtp.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push((self.connection, Instant::now()));
    }
}

/// RFC 5321 section 4.2.1: 5xx will be said again, anything else may change.
fn refused(what: &'static str, error: &Error) -> Undelivered {
    if error.is_permanent() { Undelivered::Never(what, told(error)) } else { Undelivered::Later(what, told(error)) }
}

/// What it says, which has its causes in it already.
fn told(error: &Error) -> Cause {
    error.to_string().into()
}

fn parameters(host: &str, authorities: Option<&str>) -> Result<TlsParameters, Error> {
    let builder = TlsParametersBuilder::new(host.to_owned());
    let builder = match authorities {
        Some(pem) => {
            let certificates = Certificate::from_pem(pem.as_bytes())?;
            builder.certificate_store(CertificateStore::None).add_root_certificate(certificates)
        }
        None => builder,
    };
    builder.build_rustls()
}
