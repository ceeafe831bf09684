//! Users as another system describes them: which columns there are, and how their values become good ones.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use super::email::Email;
use super::field::FieldError;
use super::password::PasswordHash;
use super::profile::{Profile, ProfileSchema};
use super::repetition::{Key, Repetitions};
use super::user::{Line, Role};

/// What a file can tell of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the how-to describes them")]
pub enum Column {
    Email,
    PasswordHash,
    Id,
    FullName,
    Role,
    EmailVerified,
    IsActive,
    CreatedAt,
    LastLoginAt,
    Profile,
}

impl Column {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Email,
        Self::PasswordHash,
        Self::Id,
        Self::FullName,
        Self::Role,
        Self::EmailVerified,
        Self::IsActive,
        Self::CreatedAt,
        Self::LastLoginAt,
        Self::Profile,
    ];

    /// The column's name in files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::PasswordHash => "password_hash",
            Self::Id => "id",
            Self::FullName => "full_name",
            Self::Role => "role",
            Self::EmailVerified => "email_verified",
            Self::IsActive => "is_active",
            Self::CreatedAt => "created_at",
            Self::LastLoginAt => "last_login_at",
            Self::Profile => "profile",
        }
    }

    /// The column of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|column| column.as_str() == name)
    }
}

/// What a line says. What it leaves out, or leaves empty, is null. Silent, as a hash may be in it.
#[derive(Default)]
pub struct Fields(BTreeMap<Column, Value>);

impl Fields {
    /// Notes a value.
    pub fn set(&mut self, column: Column, value: Value) {
        self.0.insert(column, value);
    }

    fn take(&mut self, column: Column) -> Value {
        self.0.remove(&column).filter(|value| value.as_str() != Some("")).unwrap_or_default()
    }
}

/// A rule that a line breaks. Never has the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The column's name, or a place in the profile; empty where it is the line as a whole.
    pub column: Cow<'static, str>,
    /// What is asked.
    pub rule: Cow<'static, str>,
}

impl Broken {
    /// A rule that a column breaks.
    pub fn new(column: impl Into<Cow<'static, str>>, rule: impl Into<Cow<'static, str>>) -> Self {
        Self { column: column.into(), rule: rule.into() }
    }
}

impl From<FieldError> for Broken {
    fn from(error: FieldError) -> Self {
        Self::new(error.field, error.message)
    }
}

/// Whether an address is known to reach its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verified {
    /// It is not.
    No,
    /// It is, and nobody knows since when.
    Sometime,
    /// Since then.
    At(OffsetDateTime),
}

/// A user of another system, about to be one here.
#[derive(Debug)]
#[expect(missing_docs, reason = "the how-to describes them")]
pub struct ImportedUser {
    /// None for one to be made.
    pub id: Option<Uuid>,
    pub email: Email,
    pub password_hash: PasswordHash,
    pub full_name: Option<Line>,
    pub role: Role,
    pub verified: Verified,
    pub is_active: bool,
    pub created_at: Option<OffsetDateTime>,
    pub last_login_at: Option<OffsetDateTime>,
    pub profile: Value,
}

impl ImportedUser {
    /// What of a line must not stand in another: its address and its id, as far as they are good.
    pub fn keys(mut fields: Fields) -> impl Iterator<Item = Key> {
        let email = email(fields.take(Column::Email)).ok();
        let id = id(fields.take(Column::Id)).ok().flatten();
        email.as_ref().map(Key::of_email).into_iter().chain(id.map(Key::of_id))
    }

    /// Notes the user, and tells in what an earlier one is repeated.
    pub fn repeats(&self, repetitions: &mut Repetitions) -> Option<Broken> {
        let by_email = repetitions.note(Key::of_email(&self.email));
        let by_id = self.id.is_some_and(|id| repetitions.note(Key::of_id(id)));
        let column = if by_email { Column::Email } else { Column::Id };
        (by_email || by_id).then(|| Broken::new(column.as_str(), "is that of an earlier line"))
    }

    /// Reads what a line says.
    ///
    /// # Errors
    /// Every rule that it breaks.
    pub fn parse(mut fields: Fields, schema: Option<&ProfileSchema>) -> Result<Self, Vec<Broken>> {
        let mut broken = Vec::new();
        let mut read = |column: Column| fields.take(column);
        let email = noted(&mut broken, Column::Email, read(Column::Email), email);
        let password_hash = noted(&mut broken, Column::PasswordHash, read(Column::PasswordHash), password_hash);
        let id = noted(&mut broken, Column::Id, read(Column::Id), id);
        let full_name = noted(&mut broken, Column::FullName, read(Column::FullName), full_name);
        let role = noted(&mut broken, Column::Role, read(Column::Role), role);
        let verified = noted(&mut broken, Column::EmailVerified, read(Column::EmailVerified), verified);
        let is_active = noted(&mut broken, Column::IsActive, read(Column::IsActive), |value| is_active(&value));
        let created_at = noted(&mut broken, Column::CreatedAt, read(Column::CreatedAt), moment);
        let last_login_at = noted(&mut broken, Column::LastLoginAt, read(Column::LastLoginAt), moment);
        let profile = profile(read(Column::Profile), schema).map_err(|mut rules| broken.append(&mut rules)).ok();
        match (email, password_hash, id, full_name, role, verified, is_active, created_at, last_login_at, profile) {
            (
                Some(email),
                Some(password_hash),
                Some(id),
                Some(full_name),
                Some(role),
                Some(verified),
                Some(is_active),
                Some(created_at),
                Some(last_login_at),
                Some(profile),
            ) => Ok(Self {
                id,
                email,
                password_hash,
                full_name,
                role,
                verified,
                is_active,
                created_at,
                last_login_at,
                profile: profile.into_json(),
            }),
            _ => Err(broken),
        }
    }
}

type Rule = Cow<'static, str>;

fn noted<T>(
    broken: &mut Vec<Broken>,
    column: Column,
    value: Value,
    parse: impl FnOnce(Value) -> Result<T, Rule>,
) -> Option<T> {
    parse(value).map_err(|rule| broken.push(Broken::new(column.as_str(), rule))).ok()
}

/// A text, or none.
fn text(value: Value) -> Result<Option<String>, Rule> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => Err("must be text".into()),
    }
}

fn email(value: Value) -> Result<Email, Rule> {
    let text = text(value)?.ok_or("is required")?;
    Email::parse(&text).map_err(|error| error.message.into())
}

fn password_hash(value: Value) -> Result<PasswordHash, Rule> {
    match text(value)? {
        // Django writes a `!` and something random for "no password".
        Some(text) if !text.starts_with('!') => PasswordHash::imported(&text),
        _ => Ok(PasswordHash::none()),
    }
}

fn id(value: Value) -> Result<Option<Uuid>, Rule> {
    const RULE: &str = "must be a UUID other than nil; leave it empty for a new one";
    let Some(text) = text(value)? else { return Ok(None) };
    // The nil UUID is nobody: events of unknown addresses have it.
    Uuid::try_parse(&text).ok().filter(|id| !id.is_nil()).map_or(Err(RULE.into()), |id| Ok(Some(id)))
}

fn full_name(value: Value) -> Result<Option<Line>, Rule> {
    Line::parse(&text(value)?.unwrap_or_default(), "full_name").map_err(|error| error.message.into())
}

fn role(value: Value) -> Result<Role, Rule> {
    match text(value)?.as_deref() {
        None | Some("user") => Ok(Role::User),
        Some("admin") => Ok(Role::Admin),
        Some(_) => Err("must be user or admin".into()),
    }
}

/// As JSON, Postgres and others write it.
fn boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(value) => Some(*value),
        Value::Number(number) => match number.as_i64() {
            Some(0) => Some(false),
            Some(1) => Some(true),
            _ => None,
        },
        Value::String(text) => match text.to_ascii_lowercase().as_str() {
            "true" | "t" | "1" => Some(true),
            "false" | "f" | "0" => Some(false),
            _ => None,
        },
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn is_active(value: &Value) -> Result<bool, Rule> {
    if value.is_null() { Ok(true) } else { boolean(value).ok_or("must be true or false".into()) }
}

fn verified(value: Value) -> Result<Verified, Rule> {
    match (boolean(&value), value) {
        (None, Value::Null) | (Some(false), _) => Ok(Verified::No),
        (Some(true), _) => Ok(Verified::Sometime),
        (None, value) => match moment(value) {
            Ok(Some(at)) => Ok(Verified::At(at)),
            Ok(None) | Err(_) => Err("must be true, false, or a time such as 2026-01-31T12:00:00Z".into()),
        },
    }
}

fn moment(value: Value) -> Result<Option<OffsetDateTime>, Rule> {
    const RULE: &str = "must be a time from 1970 to 2099, such as 2026-01-31T12:00:00Z, 2026-01-31 12:00:00+00, or seconds or milliseconds since 1970";
    let found = match value {
        Value::Null => return Ok(None),
        Value::Number(number) => number.as_i64().and_then(since_1970),
        Value::String(text) => text.parse().ok().map_or_else(|| written(&text), since_1970),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    found.filter(|at| (1970..2100).contains(&at.year())).map_or(Err(RULE.into()), |at| Ok(Some(at)))
}

/// Seconds or milliseconds: as seconds the bound would be the year 5138, as milliseconds it is March 1973.
fn since_1970(number: i64) -> Option<OffsetDateTime> {
    const LEAST_MILLISECONDS: i64 = 100_000_000_000;
    let milliseconds = if number.abs() < LEAST_MILLISECONDS { number.checked_mul(1000)? } else { number };
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(milliseconds) * 1_000_000).ok()
}

/// RFC 3339, and what Postgres prints: a blank for the `T`, hours alone for the offset, or none for UTC.
fn written(text: &str) -> Option<OffsetDateTime> {
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let offset = time.find(['+', '-', 'Z', 'z']).unwrap_or(time.len());
    let (time, offset) = time.split_at_checked(offset)?;
    let offset = match offset.len() {
        0 => "Z".to_owned(),
        3 => format!("{offset}:00"),
        5 => offset.split_at_checked(3).map(|(hours, minutes)| format!("{hours}:{minutes}"))?,
        _ => offset.to_owned(),
    };
    OffsetDateTime::parse(&format!("{date}T{time}{offset}"), &Rfc3339).ok()
}

fn profile(value: Value, schema: Option<&ProfileSchema>) -> Result<Profile, Vec<Broken>> {
    let value = match value {
        Value::Null => json!({}),
        // As it stands in a CSV file.
        Value::String(text) => serde_json::from_str(&text)
            .map_err(|_syntax| vec![Broken::new(Column::Profile.as_str(), "must be a JSON object")])?,
        value @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => value,
    };
    Profile::parse(value, schema).map_err(|errors| errors.into_iter().map(Broken::from).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(value: Value) -> Option<i128> {
        moment(value).ok().flatten().map(|at| at.unix_timestamp_nanos() / 1_000_000)
    }

    #[test]
    fn one_moment_can_be_written_in_many_ways() {
        const MOMENT: i128 = 1_767_323_045_678;
        for written in [
            "2026-01-02T03:04:05.678Z",
            "2026-01-02t03:04:05.678z",
            "2026-01-02T05:04:05.678+02:00",
            "2026-01-02 03:04:05.678+00",
            "2026-01-02 03:04:05.678000",
            "2026-01-02 08:34:05.678+0530",
            "2026-01-01 19:04:05.678-08",
            "1767323045678",
        ] {
            assert_eq!(at(json!(written)), Some(MOMENT), "{written}");
        }
        assert_eq!(at(json!(1_767_323_045_678_i64)), Some(MOMENT));
        assert_eq!(at(json!(1_767_323_045)), Some(MOMENT / 1000 * 1000));
        assert_eq!(at(json!("1767323045")), Some(MOMENT / 1000 * 1000));
    }

    #[test]
    fn what_is_no_likely_moment_is_refused() {
        for none in
            ["yesterday", "2026-01-02", "2026-13-02 00:00:00", "1969-12-31 23:59:59", "2100-01-01 00:00:00", "9e9"]
        {
            assert!(moment(json!(none)).is_err(), "{none}");
        }
        for none in [json!(true), json!(-1), json!(1.5), json!(i64::MAX), json!({}), json!("\u{e9}-+\u{e9}T+\u{e9}")] {
            assert!(moment(none.clone()).is_err(), "{none}");
        }
        assert_eq!(moment(Value::Null), Ok(None));
    }

    #[test]
    fn verified_is_yes_or_no_or_since_when() {
        for yes in [json!(true), json!("t"), json!("TRUE"), json!(1), json!("1")] {
            assert_eq!(verified(yes), Ok(Verified::Sometime));
        }
        for no in [json!(false), json!("f"), json!("0"), json!(0), Value::Null] {
            assert_eq!(verified(no), Ok(Verified::No));
        }
        assert!(matches!(verified(json!("2026-01-02 03:04:05")), Ok(Verified::At(_))));
        assert!(verified(json!("yes, of course")).is_err());
    }

    proptest! {
        #[test]
        fn no_value_breaks_the_reader(texts in proptest::collection::vec("\\PC{0,30}|[0-9:TZ+. -]{0,30}", 10)) {
            let mut fields = Fields::default();
            for (column, text) in Column::ALL.into_iter().zip(texts) {
                fields.set(column, Value::String(text));
            }
            drop(ImportedUser::parse(fields, None));
        }
    }
}
