//! Users, one at a time.

use std::path::Path;

use clap::Subcommand;
use claviger::auth::operate::{disable, enable, set_role};
use claviger::config::{self, Environment, Maintenance};
use claviger::domain::email::Email;
use claviger::domain::user::Role;
use claviger::store::Store;
use claviger::telemetry;

use super::{Failure, print};

/// What can be done with a user.
#[derive(Subcommand)]
pub(crate) enum UserCommand {
    /// Close an account and end its sessions.
    Disable {
        /// The account's e-mail address.
        email: String,
    },
    /// Open an account again.
    Enable {
        /// The account's e-mail address.
        email: String,
    },
    /// Say what an account may do: its next access token has the role.
    SetRole {
        /// The account's e-mail address.
        email: String,
        /// user, admin, or service (a program that may read the list of revocations).
        role: String,
    },
}

pub(crate) async fn user(file: Option<&Path>, environment: &Environment, command: &UserCommand) -> Result<(), Failure> {
    let Maintenance { database, sessions, log, .. } = config::load_maintenance(file, environment)?;
    telemetry::start(&log);
    let store = Store::new(&database)?;
    let (UserCommand::Disable { email } | UserCommand::Enable { email } | UserCommand::SetRole { email, .. }) = command;
    let email = Email::parse(email).map_err(|error| Failure(format!("the address {}", error.message)))?;
    let done = match command {
        UserCommand::Disable { .. } => {
            let ended = disable(&store, &email, &sessions).await?;
            ended.map(|ended| format!("disabled {}; {ended} session(s) ended", email.as_str()))
        }
        UserCommand::Enable { .. } => enable(&store, &email).await?.then(|| format!("enabled {}", email.as_str())),
        UserCommand::SetRole { role, .. } => {
            let named = Role::from_name(role).ok_or(Failure(format!("{role} is not user, admin or service")))?;
            set_role(&store, &email, named)
                .await?
                .then(|| format!("{} is {role} from the next token on", email.as_str()))
        }
    };
    print(done.ok_or_else(|| Failure(format!("there is no account with the address {}", email.as_str())))?)
}
