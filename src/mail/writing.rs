//! What is in a mail: decided when it is sent, by the account as it is then. Tokens are made here, and are nowhere else but in
//! the mail.

use std::time::Duration;

use lettre::address::Envelope;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};
use lettre::{Address, Message};
use secrecy::ExposeSecret as _;

use super::Undelivered;
use crate::config;
use crate::domain::event::{Event, Kind};
use crate::domain::letter::{Facts, Letter, Letters};
use crate::domain::mail::{MailDetails, MailKind, QueuedMail, in_words, written};
use crate::domain::session::Sender;
use crate::domain::user::User;
use crate::domain::verification::{Purpose, VerificationToken};
use crate::store::{self, Store, events, mails, users, verifications};
use crate::telemetry::tell;

/// Writes mails.
pub(super) struct Writer {
    from: Mailbox,
    letters: Letters,
    verify_link: String,
    reset_link: String,
    verify_ttl: Duration,
    reset_ttl: Duration,
}

/// A mail, ready to leave.
pub(super) struct Written {
    pub(super) envelope: Envelope,
    pub(super) bytes: Vec<u8>,
}

/// As much of a device's name as a mail tells: whoever used the device could have chosen it.
const DEVICE_CHARACTERS: usize = 80;

impl Writer {
    pub(super) fn new(settings: config::Mail) -> Self {
        let config::Mail { from, letters, verify_link, reset_link, verify_ttl, reset_ttl, .. } = settings;
        Self { from, letters, verify_link, reset_link, verify_ttl, reset_ttl }
    }

    /// Writes a mail; none if nobody is to get it, as there is no such account, or nothing to be done any more.
    pub(super) async fn write(&self, store: &Store, mail: &QueuedMail) -> Result<Option<Written>, Undelivered> {
        let database =
            |error: store::Error| Undelivered::Later("the database cannot be asked for a mail", error.into());
        let user = find_user(store, mail).await.map_err(database)?;
        let mut facts = self.facts(mail, user.as_ref());
        if let Some(purpose) = mail.kind.purpose() {
            let Some(user) = user.filter(|user| is_wanted(purpose, user, mail)) else { return Ok(None) };
            let token = VerificationToken::generate(user.id);
            let token = token.map_err(|error| Undelivered::Later("there are no random bytes", error.into()))?;
            if !self.keep(store, mail, purpose, &token).await.map_err(database)? {
                return Ok(None);
            }
            facts.valid_for = in_words(self.ttl(purpose));
            facts.link = self.link(purpose).replace("{token}", token.text().expose_secret());
        }
        let letter = self.letters.write(mail.kind, &facts);
        let letter = letter.map_err(|problem| Undelivered::Later("a template cannot be used", problem.into()))?;
        let to = mail.recipient.parse::<Address>();
        let to = to.map_err(|error| Undelivered::Never("the recipient is no address", error.into()))?;
        let message = self.compose(mail, to, letter);
        let message = message.map_err(|error| Undelivered::Never("the mail cannot be written", error.into()))?;
        Ok(Some(Written { envelope: message.envelope().clone(), bytes: message.formatted() }))
    }

    fn facts(&self, mail: &QueuedMail, user: Option<&User>) -> Facts {
        let MailDetails { ip_address, device, new_email, request_id: _ } = mail.details.clone();
        let verified = user.filter(|user| user.email_verified_at.is_some() && user.email == mail.recipient);
        let device = device.unwrap_or_default().chars().filter(|c| !c.is_control()).take(DEVICE_CHARACTERS).collect();
        Facts {
            name: verified.and_then(|user| user.full_name.clone()).unwrap_or_default(),
            email: user.map_or_else(|| mail.recipient.clone(), |user| user.email.clone()),
            time: written(mail.created_at),
            ip_address: ip_address.unwrap_or_default(),
            device,
            new_email: new_email.unwrap_or_default(),
            sender: self.from.name.clone().unwrap_or_else(|| self.from.email.to_string()),
            ..Facts::default()
        }
    }

    fn ttl(&self, purpose: Purpose) -> Duration {
        match purpose {
            Purpose::ResetPassword => self.reset_ttl,
            Purpose::VerifyEmail | Purpose::ChangeEmail => self.verify_ttl,
        }
    }

    fn link(&self, purpose: Purpose) -> &str {
        match purpose {
            Purpose::ResetPassword => &self.reset_link,
            Purpose::VerifyEmail | Purpose::ChangeEmail => &self.verify_link,
        }
    }

    /// Makes the token good, and says whether it is; the mail may be called off. The first time that the account behind a reset is found, its trail is told too.
    async fn keep(
        &self,
        store: &Store,
        mail: &QueuedMail,
        purpose: Purpose,
        token: &VerificationToken,
    ) -> Result<bool, store::Error> {
        let event = Event::of_account(Kind::PasswordResetRequested, token.user_id);
        let details = &mail.details;
        let sender = Sender {
            ip_address: details.ip_address.as_deref().and_then(|text| text.parse().ok()),
            user_agent: details.device.clone(),
            request_id: details.request_id.clone(),
            actor_id: None,
        };
        let keeping = store.transaction(async |transaction| {
            // Called off meanwhile.
            if !mails::lock(transaction, mail.id).await? {
                return Ok(None);
            }
            verifications::insert(transaction, token, purpose, &mail.recipient, self.ttl(purpose)).await?;
            let is_news =
                purpose == Purpose::ResetPassword && mails::address_to(transaction, mail.id, token.user_id).await?;
            if is_news {
                events::insert(transaction, &event, &sender).await?;
            }
            Ok(Some(is_news))
        });
        let kept = keeping.await?;
        if kept == Some(true) {
            tell(&event, &sender);
        }
        Ok(kept.is_some())
    }

    fn compose(&self, mail: &QueuedMail, to: Address, letter: Letter) -> Result<Message, lettre::error::Error> {
        // RFC 3834: nobody's holiday notice answers.
        let automatic = HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned());
        let part = |kind, text| SinglePart::builder().header(kind).body(text);
        Message::builder()
            .from(self.from.clone())
            .to(to.into())
            .subject(letter.subject)
            .message_id(Some(format!("<{}@{}>", mail.id, self.from.email.domain())))
            .raw_header(automatic)
            .multipart(
                MultiPart::alternative()
                    .singlepart(part(ContentType::TEXT_PLAIN, letter.text))
                    .singlepart(part(ContentType::TEXT_HTML, letter.html)),
            )
    }
}

async fn find_user(store: &Store, mail: &QueuedMail) -> Result<Option<User>, store::Error> {
    let find = async |client: &mut _| match mail.user_id {
        Some(id) => users::find(client, id).await,
        None => users::find_by_email(client, &mail.recipient).await,
    };
    store.run(find).await
}

/// Whether a token may be sent to where somebody asked for it.
fn is_wanted(purpose: Purpose, user: &User, mail: &QueuedMail) -> bool {
    let is_own = user.email == mail.recipient;
    user.disabled_at.is_none()
        && match purpose {
            Purpose::VerifyEmail => is_own && user.email_verified_at.is_none(),
            Purpose::ResetPassword => is_own,
            // Whose it is now is told by nobody, neither here nor where it was asked for.
            Purpose::ChangeEmail => mail.kind == MailKind::ChangeEmail,
        }
}
