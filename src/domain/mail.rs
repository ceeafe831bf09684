//! Mails: which there are, and what each tells.

use std::time::Duration;

use time::OffsetDateTime;
use time::macros::format_description;
use uuid::Uuid;

use super::verification::Purpose;

/// What a mail is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MailKind {
    /// Brings a token that shows that the account's address reaches its owner.
    VerifyEmail,
    /// Brings a token that sets a new password.
    ResetPassword,
    /// Brings a token that gives the account this address.
    ChangeEmail,
    /// Tells the old address that the account has another.
    EmailChanged,
    /// Tells that the account has another password.
    PasswordChanged,
    /// Tells that a copy of a refresh token was used, and its session ended.
    SessionReplayed,
    /// Tells that the account is no more.
    AccountDeleted,
}

impl MailKind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::VerifyEmail,
        Self::ResetPassword,
        Self::ChangeEmail,
        Self::EmailChanged,
        Self::PasswordChanged,
        Self::SessionReplayed,
        Self::AccountDeleted,
    ];

    /// The kind's name in the database and of its templates.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::VerifyEmail => "verify_email",
            Self::ResetPassword => "reset_password",
            Self::ChangeEmail => "change_email",
            Self::EmailChanged => "email_changed",
            Self::PasswordChanged => "password_changed",
            Self::SessionReplayed => "session_replayed",
            Self::AccountDeleted => "account_deleted",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// What its token allows; none for mails that only tell something.
    #[must_use]
    pub fn purpose(self) -> Option<Purpose> {
        match self {
            Self::VerifyEmail => Some(Purpose::VerifyEmail),
            Self::ResetPassword => Some(Purpose::ResetPassword),
            Self::ChangeEmail => Some(Purpose::ChangeEmail),
            Self::EmailChanged | Self::PasswordChanged | Self::SessionReplayed | Self::AccountDeleted => None,
        }
    }
}

/// A mail in the queue.
#[derive(Debug, Clone)]
pub struct QueuedMail {
    /// Also its Message-ID, in every attempt.
    pub id: Uuid,
    /// What it is about.
    pub kind: MailKind,
    /// To whom, as somebody gave it.
    pub recipient: String,
    /// Whose account; none where only the recipient says that.
    pub user_id: Option<Uuid>,
    /// What happened, for mails that tell of something.
    pub details: MailDetails,
    /// When it was queued, by the database's clock.
    pub created_at: OffsetDateTime,
    /// How often it was tried, this time included.
    pub attempts: u32,
}

/// What a mail tells besides its kind. Nothing here is secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct MailDetails {
    /// From where it was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_address: Option<String>,
    /// The device it was done on, or to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The request's id, for the event that sending records.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The account's address from now on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_email: Option<String>,
}

/// A moment as mails tell it.
#[must_use]
pub fn written(moment: OffsetDateTime) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute] UTC");
    moment.to_offset(time::UtcOffset::UTC).format(&format).unwrap_or_default()
}

/// A length of time as mails tell it: in the largest unit that it is a whole number of.
#[must_use]
pub fn in_words(time: Duration) -> String {
    let seconds = time.as_secs();
    let units = [(24 * 60 * 60, "day"), (60 * 60, "hour"), (60, "minute"), (1, "second")];
    let largest = units.into_iter().find(|(size, _)| seconds >= *size && seconds.is_multiple_of(*size));
    let (size, unit) = largest.unwrap_or((1, "second"));
    let number = seconds / size;
    format!("{number} {unit}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_one_name() {
        for kind in MailKind::ALL {
            assert_eq!(MailKind::from_name(kind.as_str()), Some(kind));
        }
        assert_eq!(MailKind::from_name("newsletter"), None);
    }

    #[test]
    fn lengths_of_time_are_told_in_words() {
        let told = [60, 1_800, 5_400, 86_400, 172_800, 61].map(|seconds| in_words(Duration::from_secs(seconds)));
        assert_eq!(told, ["1 minute", "30 minutes", "90 minutes", "1 day", "2 days", "61 seconds"]);
    }

    #[test]
    fn moments_are_told_to_the_minute() {
        assert_eq!(written(OffsetDateTime::UNIX_EPOCH), "1970-01-01 00:00 UTC");
    }
}
