//! Accounts and numbers, for people on a terminal.

use claviger::auth::operate::{Details, Directory};
use claviger::domain::session::ListedSession;
use claviger::domain::statistics::Statistics;
use claviger::domain::user::User;

use super::table::{moment, moment_or_dash, or_dash, table};
use super::{Failure, print};

pub(crate) fn show_users(directory: &Directory) -> Result<(), Failure> {
    let row = |user: &User| {
        [
            user.email.clone(),
            or_dash(user.full_name.as_deref()),
            user.role.as_str().to_owned(),
            state(user).to_owned(),
            moment(user.created_at),
            moment_or_dash(user.last_login_at),
            user.id.to_string(),
        ]
    };
    let rows: Vec<_> = directory.users.iter().map(row).collect();
    print(table(["EMAIL", "NAME", "ROLE", "STATUS", "CREATED", "LAST LOGIN", "ID"], &rows))?;
    directory.next.map_or(Ok(()), |next| print(format_args!("there may be more: --before {next}")))
}

fn state(user: &User) -> &'static str {
    if user.disabled_at.is_some() { "disabled" } else { "active" }
}

pub(crate) fn show_details(details: &Details) -> Result<(), Failure> {
    let user = &details.user;
    let fields = [
        ("email", user.email.clone()),
        ("id", user.id.to_string()),
        ("name", or_dash(user.full_name.as_deref())),
        ("role", user.role.as_str().to_owned()),
        ("status", state(user).to_owned()),
        ("disabled", moment_or_dash(user.disabled_at)),
        ("verified", moment_or_dash(user.email_verified_at)),
        ("created", moment(user.created_at)),
        ("last login", moment_or_dash(user.last_login_at)),
        ("live sessions", details.live_sessions().to_string()),
        ("profile", user.profile.to_string()),
    ];
    print(table(["", ""], &fields.map(|(name, value)| [name.to_owned(), value])).trim_start())?;
    let events = details.events.iter().map(|event| {
        [
            moment(event.occurred_at),
            event.kind.clone(),
            event.outcome.clone(),
            or_dash(event.reason.as_deref()),
            or_dash(event.ip_address),
            or_dash(event.actor_id),
        ]
    });
    print("")?;
    print(table(["WHEN", "WHAT", "OUTCOME", "REASON", "FROM", "BY"], &events.collect::<Vec<_>>()))
}

pub(crate) fn show_sessions(sessions: &[ListedSession]) -> Result<(), Failure> {
    let row = |session: &ListedSession| {
        [
            session.id.to_string(),
            moment(session.created_at),
            moment(session.last_used_at),
            moment(session.ended_at.unwrap_or(session.expires_at)),
            session.ended_by.clone().unwrap_or("alive".to_owned()),
            or_dash(session.ip_address),
            or_dash(session.label.as_deref().or(session.user_agent.as_deref())),
        ]
    };
    let rows: Vec<_> = sessions.iter().map(row).collect();
    print(table(["ID", "LOGIN", "LAST USED", "ENDS", "STATE", "FROM", "DEVICE"], &rows))
}

pub(crate) fn show_statistics(statistics: &Statistics) -> Result<(), Failure> {
    let users = &statistics.users;
    let counts = [
        ("users", users.total),
        ("active", users.active),
        ("disabled", users.disabled),
        ("verified", users.verified),
        ("admins", users.admins),
        ("live sessions", statistics.live_sessions),
    ];
    let counts = counts.map(|(name, count)| [name.to_owned(), count.to_string()]);
    print(table(["", ""], &counts).trim_start())?;
    let days = statistics.new_users.iter().enumerate().map(|(index, day)| {
        let of = |days: &[claviger::domain::statistics::Day]| or_dash(days.get(index).map(|day| day.count));
        [day.date.clone(), day.count.to_string(), of(&statistics.logins), of(&statistics.login_failures)]
    });
    print("")?;
    print(table(["DAY (UTC)", "NEW USERS", "LOGINS", "FAILURES"], &days.collect::<Vec<_>>()))
}
