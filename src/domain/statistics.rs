//! Numbers about a deployment.

use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

/// How many there are, and what happens each day.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Statistics {
    /// Accounts as they are.
    pub users: UserCounts,
    /// Accounts made on each day, newest day first, in UTC; also days without any.
    pub new_users: Vec<Day>,
    /// Sessions that a refresh could go on with.
    pub live_sessions: i64,
    /// Sign-ins with a password on each day, as far back as events are kept.
    pub logins: Vec<Day>,
    /// Those that opened nothing.
    pub login_failures: Vec<Day>,
    /// When this was counted, by the database's clock.
    #[serde(with = "time::serde::rfc3339")]
    pub generated_at: OffsetDateTime,
}

/// Accounts as they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct UserCounts {
    /// All of them.
    pub total: i64,
    /// Those that are open.
    pub active: i64,
    /// Those that were closed.
    pub disabled: i64,
    /// Those whose address is known to reach them.
    pub verified: i64,
    /// Those of administrators, closed ones too.
    pub admins: i64,
}

/// How often something happened on a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Day {
    /// The day in UTC, as `2026-01-31`.
    #[schema(format = Date)]
    pub date: String,
    /// How often.
    pub count: i64,
}

impl std::ops::AddAssign for UserCounts {
    fn add_assign(&mut self, other: Self) {
        self.total += other.total;
        self.active += other.active;
        self.disabled += other.disabled;
        self.verified += other.verified;
        self.admins += other.admins;
    }
}
