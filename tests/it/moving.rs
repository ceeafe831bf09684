//! Accounts of the replaced systems move in by the commands that the how-tos print.
//!
//! What is moved was made with those systems' own libraries: `make fixtures`.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio_postgres::Row;
use unicode_normalization::UnicodeNormalization as _;
use uuid::Uuid;

use crate::mail;
use crate::support::{Anonymous, MailServer, PASSWORD, TestApp, TestDatabase, environment, find_program, skipped};

/// Somebody who signed up with the old system, as `people.json` has it.
#[derive(Deserialize)]
struct Person {
    email: String,
    password: Option<String>,
    full_name: Option<String>,
    admin: bool,
    verified: bool,
    disabled: bool,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    last_login_at: Option<OffsetDateTime>,
    profile: Value,
}

impl Person {
    /// The address in its one spelling.
    fn email(&self) -> String {
        self.email.to_lowercase()
    }

    /// For systems that know a name for signing in, and no fields of a profile.
    fn username_alone(&self) -> Value {
        json!({ "username": self.email.split('@').next() })
    }
}

/// What tells the replaced systems apart. All keep addresses, names, roles, dates, and whether an account is closed.
struct System {
    /// As its how-to and its fixture are called.
    name: &'static str,
    asks_for_verification: bool,
    profile: fn(&Person) -> Value,
    /// What an id there becomes here, in SQL.
    id: &'static str,
    /// The table that has them.
    users: &'static str,
}

#[tokio::test]
async fn users_of_a_flask_login_keep_their_passwords() {
    moves_in(&System {
        name: "flask-login",
        asks_for_verification: false,
        profile: Person::username_alone,
        id: "md5('flask-login:' || id)::uuid",
        users: "users",
    })
    .await;
}

#[tokio::test]
async fn users_of_better_auth_keep_their_passwords_and_profiles() {
    moves_in(&System {
        name: "better-auth",
        asks_for_verification: true,
        profile: |person| person.profile.clone(),
        id: "md5('better-auth:' || id)::uuid",
        users: "\"user\"",
    })
    .await;
}

#[tokio::test]
async fn users_on_neon_keep_their_passwords_profiles_and_ids() {
    moves_in(&System {
        name: "neon",
        asks_for_verification: true,
        profile: |person| person.profile.clone(),
        id: "id",
        users: "users",
    })
    .await;
}

#[tokio::test]
async fn users_with_database_sessions_keep_their_passwords() {
    moves_in(&System {
        name: "database-sessions",
        asks_for_verification: false,
        profile: Person::username_alone,
        id: "md5('django:' || id)::uuid",
        users: "auth_user",
    })
    .await;
}

#[tokio::test]
async fn users_of_a_fastapi_jwt_login_keep_their_passwords_and_profiles() {
    moves_in(&System {
        name: "fastapi-jwt",
        asks_for_verification: true,
        profile: |person| person.profile.clone(),
        id: "md5('fastapi-jwt:' || id)::uuid",
        users: "users",
    })
    .await;
}

/// Moves the fixture of a system in as its how-to says, and signs everybody in.
async fn moves_in(system: &System) {
    let Some(psql) = find_program(&["psql"], &postgres_folders().iter().map(String::as_str).collect::<Vec<_>>()) else {
        return skipped("psql", "apt-get install postgresql-client");
    };
    let old = TestDatabase::empty().await;
    let (app, mails) = mail::start().await;
    let fixture = root().join("tests/fixtures/moving");
    let dump = fixture.join(system.name).join("dump.sql");
    let load = [&old.url, "--no-psqlrc", "--set=ON_ERROR_STOP=1", "--file", &dump.display().to_string()];
    run(Command::new(&psql).args(load));

    let folder = tempfile::tempdir().unwrap();
    for script in commands(&format!("docs/how-to/move-from-{}.md", system.name)) {
        let program = Path::new(env!("CARGO_BIN_EXE_claviger"));
        let folders = [program, &psql].map(|program| program.parent().unwrap().display().to_string()).join(":");
        let mut shell = Command::new("sh");
        shell.args(["-euc", &script]).env_clear().envs(environment(&app.database.url));
        let path = format!("{folders}:/usr/bin:/bin");
        run(shell.env("OLD_DATABASE_URL", &old.url).env("PATH", path).current_dir(&folder));
    }

    let people: Vec<Person> = serde_json::from_slice(&std::fs::read(fixture.join("people.json")).unwrap()).unwrap();
    assert_eq!(app.database.number("select count(*) from users").await, people.len() as i64);
    let told = app.database.number("select count(*) from events where kind = 'account_imported'").await;
    assert_eq!(told, people.len() as i64);
    let ids = old.rows(&format!("select {}, lower(email) from {}", system.id, system.users)).await;
    for person in &people {
        let id = ids.iter().find(|row| row.get::<_, String>(1) == person.email()).map(|row| row.get::<_, Uuid>(0));
        assert_came_along(system, person, id.unwrap(), &stored(&app, person).await);
        signs_in(&app, &mails, person).await;
    }
}

fn assert_came_along(system: &System, person: &Person, id: Uuid, row: &Row) {
    let who = format!("{} of {}", person.email, system.name);
    assert_eq!(row.get::<_, Uuid>("id"), id, "{who}");
    assert_eq!(row.get::<_, Option<String>>("full_name"), person.full_name, "{who}");
    assert_eq!(row.get::<_, String>("role"), if person.admin { "admin" } else { "user" }, "{who}");
    assert_eq!(row.get::<_, Value>("profile"), (system.profile)(person), "{who}");
    assert_eq!(row.get::<_, bool>("verified"), person.verified && system.asks_for_verification, "{who}");
    assert_eq!(row.get::<_, bool>("disabled"), person.disabled, "{who}");
    assert_eq!(row.get::<_, OffsetDateTime>("created_at"), person.created_at, "{who}");
    assert_eq!(row.get::<_, Option<OffsetDateTime>>("last_login_at"), person.last_login_at, "{who}");
    assert!(!has_our_hash(row), "{who}");
}

/// With the old password and no other, and once more when the hash is ours.
async fn signs_in(app: &TestApp, mails: &MailServer, person: &Person) {
    let caller = app.anonymous();
    let refused = async |password: &str| {
        caller.login(&person.email, password).await.assert_problem(401, "invalid_credentials");
    };
    let Some(password) = &person.password else {
        refused("{none}").await;
        return gets_a_password(&caller, mails, person).await;
    };
    refused(&password.to_uppercase()).await;
    let answer = caller.login(&person.email, password).await;
    if person.disabled {
        return answer.assert_problem(403, "account_disabled");
    }
    assert_eq!(answer.status, 200, "{}: {answer:?}", person.email);
    assert_eq!(answer.body["user"]["email"], person.email());
    assert!(has_our_hash(&stored(app, person).await), "{}", person.email);
    signs_in_anew(&caller, person, password).await;
}

/// What the old system made of a password is over: every character counts, and either spelling of a letter is good.
async fn signs_in_anew(caller: &Anonymous, person: &Person, password: &str) {
    let composed: String = password.nfc().collect();
    assert_eq!(caller.login(&person.email, &composed).await.status, 200, "{}", person.email);
    let (beginning, _last) = password.split_at(password.char_indices().last().unwrap().0);
    caller.login(&person.email, beginning).await.assert_problem(401, "invalid_credentials");
}

/// Who came by another provider alone, by a reset.
async fn gets_a_password(caller: &Anonymous, mails: &MailServer, person: &Person) {
    mail::ask_for_reset(caller, &person.email).await;
    let token = mails.mail_about(&person.email, "Set a new password").await.token();
    assert_eq!(mail::reset(caller, &token, PASSWORD).await.status, 204);
    assert_eq!(caller.login(&person.email, PASSWORD).await.status, 200, "{}", person.email);
}

async fn stored(app: &TestApp, person: &Person) -> Row {
    let columns = "id, password_hash, full_name, role, profile, email_verified_at is not null as verified,
                   disabled_at is not null as disabled, created_at, last_login_at";
    let rows = app.database.rows(&format!("select {columns} from users where email = '{}'", person.email())).await;
    rows.into_iter().next().unwrap_or_else(|| panic!("{} did not come along", person.email))
}

fn has_our_hash(row: &Row) -> bool {
    row.get::<_, String>("password_hash").starts_with("{hmac-sha256}$2b$")
}

/// The blocks of a how-to that export and that import, in their order.
fn commands(page: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join(page)).unwrap();
    let blocks = text.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let wanted = blocks.filter(|block| block.contains("> users.csv") || block.contains("import users users.csv"));
    let wanted: Vec<String> = wanted.map(str::to_owned).collect();
    assert_eq!(wanted.len(), 2, "{page}");
    wanted
}

/// Where distributions put psql beside the server, if not on the path.
fn postgres_folders() -> Vec<String> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().filter_map(Result::ok);
    versions.map(|version| version.path().join("bin").display().to_string()).collect()
}

fn root() -> PathBuf {
    env!("CARGO_MANIFEST_DIR").into()
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(output.status.success(), "{said}");
}
