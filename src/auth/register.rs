//! Registration: a new user, signed in at once.

use serde_json::{Value, json};
use uuid::Uuid;

use super::admission::Lane;
use super::events::tell;
use super::hashing::Flow;
use super::throttle::counted;
use super::{Auth, Error, SignedIn, checked, given, unless_taken};
use crate::domain::email::Email;
use crate::domain::event::{Event, Kind};
use crate::domain::mail::MailKind;
use crate::domain::password::Password;
use crate::domain::profile::{Profile, ProfileSchema};
use crate::domain::session::Sender;
use crate::domain::throttle;
use crate::domain::user::{Line, User};
use crate::store::sessions::{self, NewSession, NewUser};
use crate::store::{events, users};

/// What somebody gives to get an account.
pub struct Registration {
    /// The address.
    pub email: Option<String>,
    /// The password.
    pub password: Option<String>,
    /// What to call them.
    pub full_name: Option<String>,
    /// The application's own fields.
    pub profile: Option<Value>,
}

/// What a registration leads to.
#[derive(Debug)]
pub enum Registered {
    /// An account and its first session.
    SignedIn(SignedIn),
    /// An account that can be used once its address is verified.
    ToVerify(User),
}

struct Checked {
    email: Email,
    password: Password,
    full_name: Option<Line>,
    profile: Profile,
}

impl Auth {
    /// Makes an account and its first session, unless its address is to be verified before.
    ///
    /// # Errors
    /// [`Error::InvalidFields`] with every broken rule, [`Error::EmailTaken`], [`Error::RateLimited`], [`Error::Overloaded`],
    /// [`Error::DatabaseUnavailable`].
    pub async fn register(&self, registration: Registration, sender: &Sender) -> Result<Registered, Error> {
        let Checked { email, password, full_name, profile } =
            registration.check(self.password_min_length, self.profile_schema.as_deref())?;
        let address = counted(sender);
        let limits = throttle::of_registration(address);
        let asking = self.admission.pass(address, Lane::Strangers).await?;
        let slot = self.take_slot(Flow::Network(throttle::network(address)), &limits, sender).await?;
        drop(asking);
        let password_hash = self.unless_overloaded(self.hashing.hash(&slot, password).await, &limits).await?;
        drop(slot);

        let user_id = Uuid::now_v7();
        let user = NewUser {
            id: user_id,
            email: &email,
            password_hash: &password_hash,
            full_name: full_name.as_ref(),
            profile,
        };
        if self.requires_verified_email() {
            return self.add_unverified(user, sender).await.map(Registered::ToVerify);
        }
        let keys = self.keys.current();
        let token = keys.refresh_keys.first_token(user_id, Uuid::now_v7()).map_err(Error::internal)?;
        let session = NewSession { id: token.session_id, secret_hash: token.hash(), sender, label: None };
        let policy = &self.sessions;
        let making = self.store.transaction(async |transaction| {
            let made = sessions::insert_with_user(transaction, user, &session, policy).await?;
            // A mail to an account that there is not is not sent.
            self.notify(transaction, MailKind::VerifyEmail, user_id, sender).await?;
            Ok(made)
        });
        let (user, session) = unless_taken(making.await)?;
        self.mails_queued();
        tell(&Event::of_session(Kind::Registered, user.id, session.id), sender);
        Ok(Registered::SignedIn(SignedIn { user, tokens: keys.tokens(session, &token)? }))
    }

    /// Makes an account that cannot be used before its address is verified.
    async fn add_unverified(&self, user: NewUser<'_>, sender: &Sender) -> Result<User, Error> {
        let event = Event::of_account(Kind::Registered, user.id);
        let adding = self.store.transaction(async |transaction| {
            let Some(user) = users::insert_registered(transaction, user).await? else { return Ok(None) };
            events::insert(transaction, &event, sender).await?;
            self.notify(transaction, MailKind::VerifyEmail, user.id, sender).await?;
            Ok(Some(user))
        });
        let user = unless_taken(adding.await)?;
        self.mails_queued();
        tell(&event, sender);
        Ok(user)
    }
}

impl Registration {
    fn check(self, password_min_length: usize, schema: Option<&ProfileSchema>) -> Result<Checked, Error> {
        let mut problems = Vec::new();
        let own = self.email.clone().unwrap_or_default();
        let email = given(self.email, "email").and_then(|text| Email::parse(&text));
        let email = checked(email, &mut problems);
        let password = given(self.password, "password");
        let password = password.and_then(|text| Password::chosen(&text, password_min_length, &own, "password"));
        let password = checked(password, &mut problems);
        let full_name = Line::parse(self.full_name.as_deref().unwrap_or_default(), "full_name");
        let full_name = checked(full_name, &mut problems);
        let profile = Profile::parse(self.profile.unwrap_or(json!({})), schema);
        let profile = profile.map_err(|mut broken| problems.append(&mut broken)).ok();
        match (email, password, full_name, profile) {
            (Some(email), Some(password), Some(full_name), Some(profile)) => {
                Ok(Checked { email, password, full_name, profile })
            }
            _ => Err(Error::InvalidFields(problems)),
        }
    }
}
