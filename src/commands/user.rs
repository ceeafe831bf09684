//! Users: making, finding, changing and deleting them.

use std::io::Read as _;
use std::path::Path;

use clap::{Args, Subcommand};
use claviger::auth::operate::{self, AccountChange, Changed, Directory, NewAccount};
use claviger::config::{self, Environment, Maintenance, Passwords};
use claviger::domain::email::Email;
use claviger::domain::field::FieldError;
use claviger::domain::password::{Password, PasswordHash};
use claviger::domain::place::Place;
use claviger::domain::secret::Secret;
use claviger::domain::session::SessionPolicy;
use claviger::domain::user::{Handle, Line, Role, User};
use claviger::domain::user_filter::UserFilter;
use claviger::http::{DetailsBody, DirectoryBody, UserBody};
use claviger::store::Store;
use claviger::telemetry;
use serde_json::{Value, json};

use super::show::{show_details, show_sessions, show_users};
use super::{Failure, print, print_json};

/// What can be done with users.
#[derive(Args)]
pub(crate) struct UserArguments {
    #[command(subcommand)]
    command: UserCommand,
    /// Answer in JSON, with the API's names.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum UserCommand {
    /// Make an account. Its password is made too, and shown once, unless it is given.
    Add {
        /// The e-mail address.
        email: String,
        /// What to call the person.
        #[arg(long, value_name = "NAME")]
        full_name: Option<String>,
        /// user or admin.
        #[arg(long, default_value = "user")]
        role: String,
        /// The address is known to be theirs.
        #[arg(long)]
        verified: bool,
        /// Read the password from standard input.
        #[arg(long)]
        password_stdin: bool,
    },
    /// List accounts, newest first.
    List {
        /// A part of the address or the name.
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
        /// user or admin.
        #[arg(long)]
        role: Option<String>,
        /// active or disabled.
        #[arg(long)]
        status: Option<String>,
        /// How many.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        limit: u32,
        /// Where to go on: `next` of an earlier list.
        #[arg(long, value_name = "PLACE")]
        before: Option<String>,
    },
    /// Show an account, its live sessions and what happened to it last.
    Show(Named),
    /// Close an account and end its sessions.
    Disable(Named),
    /// Open an account again.
    Enable(Named),
    /// Delete an account and all that belongs to it.
    Delete {
        #[command(flatten)]
        named: Named,
        /// Yes: this cannot be undone.
        #[arg(long)]
        yes: bool,
    },
    /// Say what an account may do: its next access token has the role.
    SetRole {
        #[command(flatten)]
        named: Named,
        /// user or admin.
        role: String,
    },
    /// Give an account another password and end its sessions. It is made, and shown once, unless it is given.
    SetPassword {
        #[command(flatten)]
        named: Named,
        /// Read the password from standard input.
        #[arg(long)]
        password_stdin: bool,
    },
    /// List an account's sessions, live ones and those that ended lately.
    Sessions(Named),
    /// End all sessions of an account.
    Logout(Named),
}

#[derive(Args)]
struct Named {
    /// The account's e-mail address, or its id.
    #[arg(value_name = "EMAIL")]
    account: String,
}

/// What commands on accounts need.
struct Desk {
    store: Store,
    sessions: SessionPolicy,
    password: Passwords,
    json: bool,
}

pub(crate) async fn user(
    file: Option<&Path>,
    environment: &Environment,
    command: &UserArguments,
) -> Result<(), Failure> {
    let Maintenance { database, sessions, password, log, .. } = config::load_maintenance(file, environment)?;
    telemetry::start(&log);
    let UserArguments { command, json } = command;
    let desk = Desk { store: Store::new(&database)?, sessions, password, json: *json };
    match command {
        UserCommand::Add { email, full_name, role, verified, password_stdin } => {
            let email = Email::parse(email).map_err(broken)?;
            let full_name = Line::parse(full_name.as_deref().unwrap_or_default(), "full_name").map_err(broken)?;
            let role = Role::parse(role, "role").map_err(broken)?;
            let (password_hash, made) = desk.password(*password_stdin, email.as_str())?;
            let account = NewAccount { email, password_hash, full_name, role, verified: *verified };
            let user = operate::add(&desk.store, &account).await?;
            let text = format!("added {}, {}", user.email, user.id);
            desk.answer(user, &text, &[("password", made.map(Value::from))])
        }
        UserCommand::List { search, role, status, limit, before } => {
            let filter = UserFilter::parse(search.as_deref(), role.as_deref(), status.as_deref());
            let filter = filter.map_err(|problems| {
                let sentences: Vec<String> = problems.into_iter().map(|problem| broken(problem).0).collect();
                Failure(sentences.join("; "))
            })?;
            let place = |text| Place::parse(text).ok_or_else(|| Failure(format!("{text} is no place of a list")));
            desk.list(&filter, before.as_deref().map(place).transpose()?, *limit).await
        }
        UserCommand::Show(named) => {
            let user = desk.find(named).await?;
            let details = operate::look(&desk.store, user.id, &desk.sessions).await?.ok_or_else(|| nobody(named))?;
            if desk.json { print_json(&DetailsBody::from(details)) } else { show_details(&details) }
        }
        UserCommand::Disable(named) => desk.change(named, Some(false), None).await,
        UserCommand::Enable(named) => desk.change(named, Some(true), None).await,
        UserCommand::SetRole { named, role } => {
            desk.change(named, None, Some(Role::parse(role, "role").map_err(broken)?)).await
        }
        UserCommand::Delete { yes: false, .. } => Err(Failure("this cannot be undone; say --yes".to_owned())),
        UserCommand::Delete { named, yes: true } => {
            let user = desk.find(named).await?;
            if !operate::delete(&desk.store, user.id).await? {
                return Err(nobody(named));
            }
            let text = format!("deleted {}, {}", user.email, user.id);
            desk.answer(user, &text, &[("deleted", Some(json!(true)))])
        }
        UserCommand::SetPassword { named, password_stdin } => {
            let user = desk.find(named).await?;
            let (hash, made) = desk.password(*password_stdin, &user.email)?;
            let changed = operate::set_password(&desk.store, user.id, &hash, &desk.sessions).await?;
            let changed = changed.ok_or_else(|| nobody(named))?;
            desk.answer_changed(changed, "has another password", made)
        }
        UserCommand::Sessions(named) => {
            let user = desk.find(named).await?;
            let details = operate::look(&desk.store, user.id, &desk.sessions).await?.ok_or_else(|| nobody(named))?;
            if desk.json {
                print_json(&json!({ "sessions": details.sessions }))
            } else {
                show_sessions(&details.sessions)
            }
        }
        UserCommand::Logout(named) => {
            let user = desk.find(named).await?;
            let ended = operate::end_sessions(&desk.store, user.id, &desk.sessions).await?;
            desk.answer_changed(ended.ok_or_else(|| nobody(named))?, "is signed out", None)
        }
    }
}

impl Desk {
    async fn find(&self, named: &Named) -> Result<User, Failure> {
        let handle = Handle::parse(&named.account).map_err(broken)?;
        operate::find(&self.store, &handle).await?.ok_or_else(|| nobody(named))
    }

    async fn change(&self, named: &Named, is_active: Option<bool>, role: Option<Role>) -> Result<(), Failure> {
        let user = self.find(named).await?;
        let change = AccountChange { is_active, role };
        let changed = operate::change(&self.store, user.id, change, &self.sessions).await?;
        let changed = changed.ok_or_else(|| nobody(named))?;
        let done = match (is_active, role) {
            (Some(false), _) => "is disabled".to_owned(),
            (Some(true), _) => "is enabled".to_owned(),
            (None, role) => format!("is {} from the next token on", role.map_or("", Role::as_str)),
        };
        self.answer_changed(changed, &done, None)
    }

    async fn list(&self, filter: &UserFilter, before: Option<Place>, limit: u32) -> Result<(), Failure> {
        let mut found = Directory { users: Vec::new(), next: before };
        loop {
            let missing = limit.saturating_sub(u32::try_from(found.users.len()).unwrap_or(limit));
            let part = operate::list(&self.store, filter, found.next, missing).await?;
            found.users.extend(part.users);
            found.next = part.next;
            if found.next.is_none() || u32::try_from(found.users.len()).is_ok_and(|count| count >= limit) {
                break;
            }
        }
        if self.json { print_json(&DirectoryBody::from(found)) } else { show_users(&found) }
    }

    /// The hash of a password from standard input, or of a new one, which is given too.
    fn password(&self, from_input: bool, email: &str) -> Result<(PasswordHash, Option<String>), Failure> {
        let made = if from_input { None } else { Some(Secret::generate()?) };
        let text = made.clone().map_or_else(read_password, Ok)?;
        let chosen = Password::chosen(&text, self.password.min_length, email, "password").map_err(broken)?;
        Ok((chosen.hash(self.password.bcrypt_cost)?, made))
    }

    fn answer_changed(&self, changed: Changed, done: &str, password: Option<String>) -> Result<(), Failure> {
        let ended = changed.ended();
        let text = format!("{} {done}; {ended} session(s) ended", changed.user.email);
        self.answer(changed.user, &text, &[("ended", Some(json!(ended))), ("password", password.map(Value::from))])
    }

    /// The account as it is now, with more beside it; or a sentence, and the password if one was made.
    fn answer(&self, user: User, text: &str, more: &[(&str, Option<Value>)]) -> Result<(), Failure> {
        if !self.json {
            print(text)?;
            let password = more.iter().find(|(name, _)| *name == "password").and_then(|(_, value)| value.as_ref());
            return password
                .and_then(Value::as_str)
                .map_or(Ok(()), |made| print(format_args!("the password, shown this once: {made}")));
        }
        let mut body = serde_json::to_value(UserBody::from(user))?;
        let given = more.iter().filter_map(|(name, value)| Some(((*name).to_owned(), value.clone()?)));
        body.as_object_mut().into_iter().for_each(|fields| fields.extend(given.clone()));
        print_json(&body)
    }
}

/// One line from standard input, or all of it: a password may have line ends in it, but for the last.
fn read_password() -> Result<String, Failure> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    let line = text.strip_suffix('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
    Ok(line.unwrap_or(&text).to_owned())
}

fn broken(problem: FieldError) -> Failure {
    let FieldError { field, message, .. } = problem;
    Failure(format!("{field} {message}"))
}

fn nobody(named: &Named) -> Failure {
    Failure(format!("there is no account {}", named.account))
}
