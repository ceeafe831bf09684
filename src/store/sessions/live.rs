//! When a session is over, in SQL: the one place that knows, for every statement but those that rotate.
//!
//! Each function takes the SQL of its operands, such as an alias or `$2`. `idle_ttl` is the policy's idle time in seconds.

/// When `session` is over unless it is refreshed: at its idle end or its absolute end, whichever comes first.
pub(in crate::store) fn ends_at(session: &str, idle_ttl: &str) -> String {
    format!("least({session}.expires_at, {session}.rotated_at + {idle_ttl} * interval '1 second')")
}

/// Whether nobody ended `session` and it has not expired.
pub(in crate::store) fn is_live(session: &str, idle_ttl: &str) -> String {
    format!("{session}.ended_at is null and {} > clock_timestamp()", ends_at(session, idle_ttl))
}

/// A query that yields the role of `user`, and yields it only while the session is live and the account open.
pub(in crate::store) fn signed_in(user: &str, session: &str, idle_ttl: &str) -> String {
    let is_live = is_live("s", idle_ttl);
    format!(
        "select u.role from sessions s join users u on u.id = s.user_id
         where s.user_id = {user} and s.id = {session} and u.disabled_at is null and {is_live}"
    )
}

/// Whether a session that nobody ended expired before `moment`. Citus lets no statement that changes rows add an interval to
/// a column, so this compares the columns with moments.
pub(super) fn expired_before(moment: &str, idle_ttl: &str) -> String {
    format!("(expires_at < {moment} or rotated_at < {moment} - {idle_ttl} * interval '1 second')")
}
