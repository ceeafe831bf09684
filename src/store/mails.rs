//! The table `mails`: queued by whoever does what a mail tells of, claimed and removed by whoever sends it.

use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::{Error, Parameter, Statements, Transaction, query_all, query_one, query_opt};
use crate::domain::mail::{MailDetails, MailKind, QueuedMail};

/// A mail about to be queued.
#[derive(Debug)]
pub struct NewMail<'a> {
    /// What it is about.
    pub kind: MailKind,
    /// To whom.
    pub recipient: &'a str,
    /// Whose account; none where only the recipient says that.
    pub user_id: Option<Uuid>,
    /// What it tells besides.
    pub details: MailDetails,
}

/// Queues a mail. Where it tells of a change, this belongs in that change's transaction.
///
/// # Errors
/// [`Error`].
pub async fn insert(client: &impl Statements, mail: &NewMail<'_>) -> Result<(), Error> {
    // Whose account it is, if anybody's, is found out when it is sent. A moment later, so that the work this makes is not felt by
    // the next request of who asked.
    let sql = "insert into mails (id, kind, recipient, user_id, details, due_at)
               values ($1, $2, $3, $4, $5,
                       clock_timestamp() + case when $4 is null then random() else 0 end * interval '1 second')";
    let details = serde_json::to_value(&mail.details).map_err(|error| Error::Bug(error.into()))?;
    let parameters: [Parameter<'_>; 5] = [
        (&Uuid::new_v4(), Type::UUID),
        (&mail.kind.as_str(), Type::TEXT),
        (&mail.recipient, Type::TEXT),
        (&mail.user_id, Type::UUID),
        (&details, Type::JSONB),
    ];
    query_opt(client, sql, &parameters).await.map(drop)
}

/// Queues a notice to the address that an account has at this moment; nothing if there is no such account, if the address never
/// was shown to be its owner's (it may be a stranger's, whom only the mail that finds that out may reach), or if there were too
/// many. Belongs in the transaction that does what it tells of: where the account is deleted, before its row goes.
///
/// # Errors
/// [`Error`].
pub async fn insert_notice(
    client: &impl Statements,
    kind: MailKind,
    user_id: Uuid,
    details: &MailDetails,
) -> Result<(), Error> {
    // Whoever has the password can make the same happen again and again, and all mails share one queue: of such things so many
    // are told in an hour. What happened is in the events in any case.
    let sql = "insert into mails (id, kind, recipient, user_id, details)
               select $1, $2, email, id, $4 from users
               where id = $3 and (email_verified_at is not null or $5)
                 and (select count(*) from events
                      where user_id = $3 and occurred_at > clock_timestamp() - interval '1 hour'
                        and kind in ('password_changed', 'password_reset', 'refresh_token_replayed')) <= 20";
    let details = serde_json::to_value(details).map_err(|error| Error::Bug(error.into()))?;
    let verifies = kind == MailKind::VerifyEmail;
    let parameters: [Parameter<'_>; 5] = [
        (&Uuid::new_v4(), Type::UUID),
        (&kind.as_str(), Type::TEXT),
        (&user_id, Type::UUID),
        (&details, Type::JSONB),
        (&verifies, Type::BOOL),
    ];
    query_opt(client, sql, &parameters).await.map(drop)
}

/// Takes mails that are due, at most `limit`, for as long as `claim`: until then nobody else tries them.
///
/// # Errors
/// [`Error`]; what was claimed then waits until its claim is over.
pub async fn claim(client: &impl Statements, limit: i64, claim: Duration) -> Result<Vec<QueuedMail>, Error> {
    let sql = "with due as (
                 select id from mails where due_at <= clock_timestamp() order by due_at limit $1 for update skip locked
               )
               update mails m set due_at = clock_timestamp() + $2 * interval '1 second', attempts = m.attempts + 1
               from due where m.id = due.id
               returning m.id, m.kind, m.recipient, m.user_id, m.details, m.created_at, m.attempts";
    let parameters: [Parameter<'_>; 2] = [(&limit, Type::INT8), (&claim.as_secs_f64(), Type::FLOAT8)];
    query_all(client, sql, &parameters).await?.iter().map(queued).collect()
}

/// How long it is until a mail is due; none if there is none.
///
/// # Errors
/// [`Error`].
pub async fn find_pause(client: &impl Statements) -> Result<Option<Duration>, Error> {
    let sql = "select extract(epoch from min(due_at) - clock_timestamp())::float8 as seconds from mails";
    let seconds: Option<f64> = query_one(client, sql, &[]).await?.try_get("seconds")?;
    Ok(seconds.map(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)))
}

/// Puts a claimed mail off, the longer the more often it was tried: 1 s, 2, 4 … up to `most`, a quarter more or less, so
/// that a server that comes back is not asked by all at once. Says when it is tried again; none if it was given up, as it
/// is older than `until`.
///
/// # Errors
/// [`Error`]; its claim then says when it is tried again.
pub async fn put_off(
    client: &impl Statements,
    id: Uuid,
    most: Duration,
    until: Duration,
) -> Result<Option<Duration>, Error> {
    let sql = "with aged as (
                 select id, created_at < clock_timestamp() - $3 * interval '1 second' as is_old,
                        least($2, 2.0 ^ least(attempts - 1, 30)) * (0.75 + random() / 2) as pause
                 from mails where id = $1
               ), gone as (
                 delete from mails m using aged where m.id = aged.id and is_old
               ), later as (
                 update mails m set due_at = clock_timestamp() + pause * interval '1 second'
                 from aged where m.id = aged.id and not is_old
               )
               select pause::float8 as pause from aged where not is_old";
    let parameters: [Parameter<'_>; 3] =
        [(&id, Type::UUID), (&most.as_secs_f64(), Type::FLOAT8), (&until.as_secs_f64(), Type::FLOAT8)];
    let row = query_opt(client, sql, &parameters).await?;
    let pause: Option<f64> = row.map(|row| row.try_get("pause")).transpose()?;
    Ok(pause.map(|pause| Duration::try_from_secs_f64(pause).unwrap_or_default()))
}

/// Notes whose account a mail is about, and says whether that was not known before.
///
/// # Errors
/// [`Error`].
pub async fn address_to(client: &impl Statements, id: Uuid, user_id: Uuid) -> Result<bool, Error> {
    let sql = "update mails set user_id = $2 where id = $1 and user_id is null returning true";
    Ok(query_opt(client, sql, &[(&id, Type::UUID), (&user_id, Type::UUID)]).await?.is_some())
}

/// Removes a mail: it was sent, or never will be.
///
/// # Errors
/// [`Error`].
pub async fn delete(client: &impl Statements, id: Uuid) -> Result<(), Error> {
    query_opt(client, "delete from mails where id = $1", &[(&id, Type::UUID)]).await.map(drop)
}

/// Locks a mail until the transaction ends, and says whether it is still to be sent.
///
/// # Errors
/// [`Error`].
pub async fn lock(transaction: &Transaction<'_>, id: Uuid) -> Result<bool, Error> {
    let sql = "select true from mails where id = $1 for update";
    Ok(query_opt(transaction, sql, &[(&id, Type::UUID)]).await?.is_some())
}

/// Removes the mails of a kind that wait to be sent for a user.
///
/// # Errors
/// [`Error`].
pub async fn delete_of_kind(transaction: &Transaction<'_>, user_id: Uuid, kind: MailKind) -> Result<(), Error> {
    let sql = "delete from mails where user_id = $1 and kind = $2";
    let parameters: [Parameter<'_>; 2] = [(&user_id, Type::UUID), (&kind.as_str(), Type::TEXT)];
    query_opt(transaction, sql, &parameters).await.map(drop)
}

/// Removes the tokens that wait for an account that is about to go. What tells of something is still to be told.
///
/// # Errors
/// [`Error`].
pub async fn delete_of_user(transaction: &Transaction<'_>, user_id: Uuid, email: &str) -> Result<(), Error> {
    let sql = "delete from mails where (user_id = $1 or recipient = $2)
                 and kind in ('verify_email', 'reset_password', 'change_email')";
    let parameters: [Parameter<'_>; 2] = [(&user_id, Type::UUID), (&email, Type::TEXT)];
    query_opt(transaction, sql, &parameters).await.map(drop)
}

fn queued(row: &Row) -> Result<QueuedMail, Error> {
    let kind: &str = row.try_get("kind")?;
    let attempts: i32 = row.try_get("attempts")?;
    let details: serde_json::Value = row.try_get("details")?;
    Ok(QueuedMail {
        id: row.try_get("id")?,
        kind: MailKind::from_name(kind).ok_or_else(|| Error::unknown_value("kind", kind))?,
        recipient: row.try_get("recipient")?,
        user_id: row.try_get("user_id")?,
        details: serde_json::from_value(details).unwrap_or_else(|_of_another_version| MailDetails::default()),
        created_at: row.try_get("created_at")?,
        attempts: u32::try_from(attempts).unwrap_or_default(),
    })
}
