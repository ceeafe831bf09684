//! Registration: a new user, signed in at once.

use serde_json::{Value, json};
use uuid::Uuid;

use super::events::tell;
use super::throttle::counted;
use super::{Auth, Error, SignedIn, checked};
use crate::domain::email::Email;
use crate::domain::event::{Event, Kind};
use crate::domain::field::FieldError;
use crate::domain::password::Password;
use crate::domain::profile::{Profile, ProfileSchema};
use crate::domain::session::Sender;
use crate::domain::throttle::{self, Trier};
use crate::domain::user::Line;
use crate::store::sessions::{self, NewSession, NewUser};

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

struct Checked {
    email: Email,
    password: Password,
    full_name: Option<Line>,
    profile: Profile,
}

impl Auth {
    /// Makes an account and its first session.
    ///
    /// # Errors
    /// [`Error::InvalidFields`] with every broken rule, [`Error::EmailTaken`], [`Error::RateLimited`], [`Error::Overloaded`],
    /// [`Error::DatabaseUnavailable`].
    pub async fn register(&self, registration: Registration, sender: &Sender) -> Result<SignedIn, Error> {
        let Checked { email, password, full_name, profile } =
            registration.check(self.password_min_length, self.profile_schema.as_ref())?;
        let address = counted(sender);
        let asking = self.turnstile.pass(address, false).await?;
        let place = self.hashing.queue(Trier::Stranger(address))?;
        self.take(&throttle::of_registration(address), sender).await?;
        drop(asking);
        let password_hash = self.hashing.hash(&place, password).await?;

        let keys = self.keys.current();
        let user_id = Uuid::now_v7();
        let token = keys.refresh_keys.first_token(user_id, Uuid::now_v7()).map_err(Error::internal)?;
        let session = NewSession { id: token.session_id, secret_hash: token.hash(), sender, label: None };
        let user = NewUser {
            id: user_id,
            email: &email,
            password_hash: &password_hash,
            full_name: full_name.as_ref(),
            profile,
        };
        let made =
            self.store.run(async |client| sessions::insert_with_user(client, user, &session, &self.sessions).await);
        let (user, session) = made.await?.ok_or(Error::EmailTaken)?;
        tell(&Event::of_session(Kind::Registered, user.id, session.id), sender);
        Ok(SignedIn { user, tokens: keys.tokens(session, &token)? })
    }
}

impl Registration {
    fn check(self, password_min_length: usize, schema: Option<&ProfileSchema>) -> Result<Checked, Error> {
        let mut problems = Vec::new();
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let own = self.email.clone().unwrap_or_default();
        let email = given(self.email).ok_or(FieldError::required("email")).and_then(|text| Email::parse(&text));
        let email = checked(email, &mut problems);
        let password = given(self.password).ok_or(FieldError::required("password"));
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
