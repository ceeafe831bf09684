//! Sessions: one login and all its rotations.

use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::user::Role;

/// How long sessions live. Fixed at start, the same for every process of a deployment.
#[derive(Debug, Clone, Copy)]
pub struct SessionPolicy {
    /// How long after a rotation the session does not rotate again, and the parent token gets the same successor. Zero is strict.
    pub grace: Duration,
    /// A session that is not refreshed for this long is over.
    pub idle_ttl: Duration,
    /// A session is over this long after its login, whatever happens.
    pub absolute_ttl: Duration,
    /// Live sessions of one user; another login evicts the one that was idle longest.
    pub max_per_user: u32,
    /// How long after its end a session is still listed.
    pub kept_after_end: Duration,
}

/// Why a session ended before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndedBy {
    /// Its user signed out on that device.
    Logout,
    /// Its user signed out everywhere.
    LogoutAll,
    /// Its user, or an administrator, ended it from elsewhere.
    Revoked,
    /// The password was changed.
    PasswordChanged,
    /// The account was disabled.
    Disabled,
    /// A token older than the grace window allows came back: somebody has a copy.
    Replayed,
    /// The user had too many sessions and this one was idle longest.
    Evicted,
    /// Its user signed in again on that device, and another session took its place.
    Replaced,
}

impl EndedBy {
    const ALL: [Self; 8] = [
        Self::Logout,
        Self::LogoutAll,
        Self::Revoked,
        Self::PasswordChanged,
        Self::Disabled,
        Self::Replayed,
        Self::Evicted,
        Self::Replaced,
    ];

    /// The reason's name in answers and the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Logout => "logout",
            Self::LogoutAll => "logout_all",
            Self::Revoked => "revoked",
            Self::PasswordChanged => "password_changed",
            Self::Disabled => "disabled",
            Self::Replayed => "replayed",
            Self::Evicted => "evicted",
            Self::Replaced => "replaced",
        }
    }

    /// The reason of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }
}

/// Why and when a session ended.
#[derive(Debug, Clone, Copy)]
pub struct Ending {
    /// Why.
    pub ended_by: EndedBy,
    /// When, by the database's clock.
    pub ended_at: OffsetDateTime,
}

/// A live session, with all that an access token says about it and its user.
#[derive(Debug, Clone)]
pub struct LiveSession {
    /// The session's id.
    pub id: Uuid,
    /// Whose it is.
    pub user_id: Uuid,
    /// The user's address at this moment.
    pub email: String,
    /// The user's role at this moment.
    pub role: Role,
    /// The login.
    pub created_at: OffsetDateTime,
    /// When it is over unless it is refreshed: the idle end or the absolute end, whichever is first.
    pub ends_at: OffsetDateTime,
    /// The database's clock when the statement ran.
    pub now: OffsetDateTime,
    /// The user's profile at this moment, if access tokens say something of it.
    pub profile: Option<Value>,
}

/// The longest `User-Agent` that is kept, in bytes of UTF-8.
const MAX_USER_AGENT: usize = 512;

/// What a request tells of who sent it. Nothing, if an operator acts on the command line.
#[derive(Debug, Clone, Default)]
pub struct Sender {
    /// The client's address.
    pub ip_address: Option<IpAddr>,
    /// The first 512 bytes of the `User-Agent` header, without part of a character.
    pub user_agent: Option<String>,
    /// The request's id, as in the log.
    pub request_id: Option<String>,
    /// Who acts on an account that is not their own: an administrator.
    pub actor_id: Option<Uuid>,
}

impl Sender {
    /// A sender with the bytes of its `User-Agent` header.
    #[must_use]
    pub fn new(ip_address: Option<IpAddr>, user_agent: Option<&[u8]>, request_id: &str) -> Self {
        let kept = |bytes| {
            let text = String::from_utf8_lossy(bytes);
            text.get(..text.floor_char_boundary(MAX_USER_AGENT)).unwrap_or_default().to_owned()
        };
        Self { ip_address, user_agent: user_agent.map(kept), request_id: Some(request_id.to_owned()), actor_id: None }
    }

    /// The same, acting on the account of another.
    #[must_use]
    pub fn acting(&self, actor_id: Uuid) -> Self {
        Self { actor_id: Some(actor_id), ..self.clone() }
    }
}

/// A session as its user sees it in a list.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Session)]
pub struct ListedSession {
    /// Its id.
    pub id: Uuid,
    /// The device's name as its owner gave it.
    #[schema(required, example = "Ada's phone")]
    pub label: Option<String>,
    /// The device as last seen.
    #[schema(required, example = "Mozilla/5.0 (X11; Linux x86_64)")]
    pub user_agent: Option<String>,
    /// Where it was last seen.
    #[schema(required, value_type = Option<String>, example = "203.0.113.7")]
    pub ip_address: Option<IpAddr>,
    /// The login.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// The login or the last refresh.
    #[serde(with = "time::serde::rfc3339")]
    pub last_used_at: OffsetDateTime,
    /// When it is over unless it is refreshed.
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: OffsetDateTime,
    /// When it was over.
    #[schema(required, example = json!(null))]
    #[serde(with = "time::serde::rfc3339::option")]
    pub ended_at: Option<OffsetDateTime>,
    /// Why: a name of [`EndedBy`], or `expired`.
    #[schema(required, example = json!(null))]
    pub ended_by: Option<String>,
    /// From where it was ended.
    #[schema(required, value_type = Option<String>, example = json!(null))]
    pub ended_ip_address: Option<IpAddr>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_agent_is_kept_up_to_512_bytes_in_whole_characters() {
        let kept = |bytes: &[u8]| Sender::new(None, Some(bytes), "r1").user_agent.unwrap();
        assert_eq!(kept(b"Phone/1.0"), "Phone/1.0");
        assert_eq!(kept(&[b'x'; 513]), "x".repeat(512));
        assert_eq!(kept("\u{1f600}".repeat(512).as_bytes()), "\u{1f600}".repeat(128));
        assert_eq!(kept(format!("xx{}", "\u{1f600}".repeat(512)).as_bytes()).len(), 510);
        assert_eq!(kept(&[0xff; 512]), "\u{fffd}".repeat(170), "bytes that are no text take three each");
    }

    #[test]
    fn every_reason_has_one_name() {
        for reason in EndedBy::ALL {
            assert_eq!(EndedBy::from_name(reason.as_str()), Some(reason));
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
        }
        assert_eq!(EndedBy::from_name("bored"), None);
    }
}
