//! Security events: what happened to whose account. The same words go into the table, the log and the answers.

use std::net::IpAddr;

use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::place::Place;
use super::session::EndedBy;
use super::user::Role;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An account was made, with its first session.
    Registered,
    /// A password opened a session.
    LoggedIn,
    /// It did not.
    LoginFailed(LoginFailure),
    /// A session ended before its time.
    SessionEnded(EndedBy),
    /// A refresh token came back after its successor had been issued; its session was ended.
    RefreshTokenReplayed,
    /// A password was changed by who knew it.
    PasswordChanged,
    /// Somebody with an access token did not know the password that was to be changed.
    PasswordChangeFailed,
    /// An operator closed the account.
    AccountDisabled,
    /// An operator opened it again.
    AccountEnabled,
    /// An operator gave the account another role.
    RoleChanged(Role),
    /// An operator made the account.
    AccountAdded,
    /// It came from another system.
    AccountImported,
    /// The account and what belonged to it went away.
    AccountDeleted,
    /// Somebody with an access token did not know the password of the account that was to be deleted.
    AccountDeletionFailed,
    /// A mailed token came back: the address reaches its owner.
    EmailVerified,
    /// The owner wants another address.
    EmailChangeRequested,
    /// Somebody with an access token did not know the password of the account whose address was to be changed.
    EmailChangeFailed,
    /// The account has another address.
    EmailChanged,
    /// Somebody asked for a mail to set a new password.
    PasswordResetRequested,
    /// A mailed token set a new password.
    PasswordReset,
    /// An operator set a new password.
    PasswordSet,
    /// The owner took a copy of everything.
    DataExported,
    /// An operator gave a program credentials. The account is the program's.
    ClientAdded,
    /// An operator took them away.
    ClientRemoved,
}

/// Why a login opened nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginFailure {
    /// There is no such address, or the password is another.
    InvalidCredentials,
    /// The password was right and the account closed.
    AccountDisabled,
    /// The password was right and the address not verified, which it must be here.
    EmailNotVerified,
}

/// Whether what was tried was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It was.
    Success,
    /// It was refused.
    Failure,
}

impl Kind {
    /// The kind's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::LoggedIn => "logged_in",
            Self::LoginFailed(_) => "login_failed",
            Self::SessionEnded(_) => "session_ended",
            Self::RefreshTokenReplayed => "refresh_token_replayed",
            Self::PasswordChanged => "password_changed",
            Self::PasswordChangeFailed => "password_change_failed",
            Self::AccountDisabled => "account_disabled",
            Self::AccountEnabled => "account_enabled",
            Self::RoleChanged(_) => "role_changed",
            Self::AccountAdded => "account_added",
            Self::AccountImported => "account_imported",
            Self::AccountDeleted => "account_deleted",
            Self::AccountDeletionFailed => "account_deletion_failed",
            Self::EmailVerified => "email_verified",
            Self::EmailChangeRequested => "email_change_requested",
            Self::EmailChangeFailed => "email_change_failed",
            Self::EmailChanged => "email_changed",
            Self::PasswordResetRequested => "password_reset_requested",
            Self::PasswordReset => "password_reset",
            Self::PasswordSet => "password_set",
            Self::DataExported => "data_exported",
            Self::ClientAdded => "client_added",
            Self::ClientRemoved => "client_removed",
        }
    }

    /// Whether what was tried was done.
    #[must_use]
    pub fn outcome(self) -> Outcome {
        match self {
            Self::LoginFailed(_)
            | Self::RefreshTokenReplayed
            | Self::PasswordChangeFailed
            | Self::AccountDeletionFailed
            | Self::EmailChangeFailed => Outcome::Failure,
            Self::Registered
            | Self::LoggedIn
            | Self::SessionEnded(_)
            | Self::PasswordChanged
            | Self::AccountDisabled
            | Self::AccountEnabled
            | Self::RoleChanged(_)
            | Self::AccountAdded
            | Self::AccountImported
            | Self::AccountDeleted
            | Self::EmailVerified
            | Self::EmailChangeRequested
            | Self::EmailChanged
            | Self::PasswordResetRequested
            | Self::PasswordReset
            | Self::PasswordSet
            | Self::DataExported
            | Self::ClientAdded
            | Self::ClientRemoved => Outcome::Success,
        }
    }

    /// What the kind's name leaves open.
    #[must_use]
    pub fn reason(self) -> Option<&'static str> {
        match self {
            Self::LoginFailed(LoginFailure::InvalidCredentials) => Some("invalid_credentials"),
            Self::LoginFailed(LoginFailure::AccountDisabled) => Some("account_disabled"),
            Self::LoginFailed(LoginFailure::EmailNotVerified) => Some("email_not_verified"),
            Self::SessionEnded(ended_by) => Some(ended_by.as_str()),
            Self::RefreshTokenReplayed => Some(EndedBy::Replayed.as_str()),
            Self::RoleChanged(role) => Some(role.as_str()),
            Self::Registered
            | Self::LoggedIn
            | Self::PasswordChanged
            | Self::PasswordChangeFailed
            | Self::AccountDisabled
            | Self::AccountEnabled
            | Self::AccountAdded
            | Self::AccountImported
            | Self::AccountDeleted
            | Self::AccountDeletionFailed
            | Self::EmailChangeFailed
            | Self::EmailVerified
            | Self::EmailChangeRequested
            | Self::EmailChanged
            | Self::PasswordResetRequested
            | Self::PasswordReset
            | Self::PasswordSet
            | Self::DataExported
            | Self::ClientAdded
            | Self::ClientRemoved => None,
        }
    }
}

impl Outcome {
    /// The outcome's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
        }
    }
}

/// Something that happens now.
#[derive(Debug, Clone, Copy)]
pub struct Event {
    /// What.
    pub kind: Kind,
    /// Whose account; none for an address that nobody has.
    pub user_id: Option<Uuid>,
    /// Which session.
    pub session_id: Option<Uuid>,
}

impl Event {
    /// Something that happens to an account as a whole.
    #[must_use]
    pub fn of_account(kind: Kind, user_id: Uuid) -> Self {
        Self { kind, user_id: Some(user_id), session_id: None }
    }

    /// Something that happens to an account, by way of one of its sessions.
    #[must_use]
    pub fn of_session(kind: Kind, user_id: Uuid, session_id: Uuid) -> Self {
        Self { kind, user_id: Some(user_id), session_id: Some(session_id) }
    }
}

/// An event as it was recorded.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Event)]
pub struct RecordedEvent {
    /// Its id.
    pub id: Uuid,
    /// When, by the database's clock.
    #[serde(with = "time::serde::rfc3339")]
    pub occurred_at: OffsetDateTime,
    /// What; newer versions have more kinds.
    #[schema(example = "logged_in")]
    pub kind: String,
    /// Whether what was tried was done.
    #[schema(value_type = Outcome)]
    pub outcome: String,
    /// What the kind leaves open.
    #[schema(required, example = json!(null))]
    pub reason: Option<String>,
    /// By way of which session.
    #[schema(required)]
    pub session_id: Option<Uuid>,
    /// From where.
    #[schema(required, value_type = Option<String>, example = "203.0.113.7")]
    pub ip_address: Option<IpAddr>,
    /// By which device.
    #[schema(required, example = "Mozilla/5.0 (X11; Linux x86_64)")]
    pub user_agent: Option<String>,
    /// The `X-Request-Id` of the request.
    #[schema(required, example = "0b2f3c7e-6d0c-4a53-9d0e-6a3f5c1f7b11")]
    pub request_id: Option<String>,
    /// The administrator whose doing it was; null for the account's owner and for operators.
    #[schema(required, example = json!(null))]
    pub actor_id: Option<Uuid>,
}

impl RecordedEvent {
    /// As the account's owner may see it: where an administrator sat is not told.
    #[must_use]
    pub fn for_owner(self) -> Self {
        if self.actor_id.is_some() { Self { ip_address: None, user_agent: None, ..self } } else { self }
    }

    /// Where it stands in its owner's trail.
    #[must_use]
    pub fn place(&self) -> Place {
        Place { at: self.occurred_at, id: self.id }
    }
}
