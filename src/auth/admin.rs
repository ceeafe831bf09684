//! Administrators: what they may see and do, by the same verbs as operators on the command line (`auth::operate`).
//!
//! An access token says what its owner was when it was issued, and opens other APIs by that. Here the database says it: who was
//! demoted, disabled or signed out is out at once.

use std::time::Duration;

use uuid::Uuid;

use super::operate::{self, AccountChange, Changed, Details, Directory, apply, apply_logout};
use super::statistics::statistics;
use super::sweep::{Removed, Sweep};
use super::{Auth, Error};
use crate::domain::access_token::Claims;
use crate::domain::place::Place;
use crate::domain::session::Sender;
use crate::domain::statistics::Statistics;
use crate::domain::user::{Role, User};
use crate::domain::user_filter::UserFilter;
use crate::store::statements::Statements;
use crate::store::{self, Transaction, sessions, users};

/// As long as somebody waits for an answer.
const CLEAN_UP_FOR: Duration = Duration::from_secs(10);

impl Auth {
    /// How many there are, and what happens.
    ///
    /// # Errors
    /// [`Error::Forbidden`], [`Error::AccessTokenInvalid`], [`Error::DatabaseUnavailable`].
    pub async fn statistics(&self, claims: &Claims) -> Result<Statistics, Error> {
        self.admit(claims).await?;
        statistics(&self.store, &self.sessions, self.events_kept).await
    }

    /// The accounts that pass a filter, newest first, at most `limit`; with a place, those before it.
    ///
    /// # Errors
    /// As [`Auth::statistics`].
    pub async fn list_users(
        &self,
        claims: &Claims,
        filter: &UserFilter,
        before: Option<Place>,
        limit: u32,
    ) -> Result<Directory, Error> {
        self.admit(claims).await?;
        operate::list(&self.store, filter, before, limit).await
    }

    /// All about one account.
    ///
    /// # Errors
    /// As [`Auth::statistics`], and [`Error::NotFound`].
    pub async fn look_at_user(&self, claims: &Claims, user_id: Uuid) -> Result<Details, Error> {
        self.admit(claims).await?;
        operate::look(&self.store, user_id, &self.sessions).await?.ok_or(Error::NotFound)
    }

    /// Opens or closes an account, which ends its sessions, or changes its role; gives it as it is then.
    ///
    /// # Errors
    /// As [`Auth::look_at_user`]; [`Error::NotOneself`] for closing or demoting the own account, so that whatever
    /// administrators do to each other, one is left.
    pub async fn change_user(
        &self,
        claims: &Claims,
        user_id: Uuid,
        change: AccountChange,
        sender: &Sender,
    ) -> Result<User, Error> {
        let steps_down = change.is_active == Some(false) || change.role.is_some_and(|role| role != Role::Admin);
        let policy = &self.sessions;
        let work = async |transaction: &Transaction<'_>, sender: &Sender| {
            if user_id == claims.sub && steps_down {
                return Ok(Err(Error::NotOneself));
            }
            Ok(apply(transaction, user_id, change, sender, policy).await?.ok_or(Error::NotFound))
        };
        Ok(self.administer(claims, user_id, sender, work).await?.user)
    }

    /// Ends all sessions of an account and says how many there were.
    ///
    /// # Errors
    /// As [`Auth::look_at_user`].
    pub async fn end_sessions_of(&self, claims: &Claims, user_id: Uuid, sender: &Sender) -> Result<usize, Error> {
        let policy = &self.sessions;
        let work = async |transaction: &Transaction<'_>, sender: &Sender| {
            Ok(apply_logout(transaction, user_id, sender, policy).await?.ok_or(Error::NotFound))
        };
        Ok(self.administer(claims, user_id, sender, work).await?.ended())
    }

    /// Removes rows that are older than they are kept, for about ten seconds.
    ///
    /// # Errors
    /// As [`Auth::statistics`]; what was removed until then is.
    pub async fn clean_up(&self, claims: &Claims) -> Result<Removed, Error> {
        self.admit(claims).await?;
        let sweep = Sweep { sessions: self.sessions, events_kept: self.events_kept };
        sweep.run_for(CLEAN_UP_FOR, &self.store, |_| {}).await
    }

    /// Whether the caller may look.
    async fn admit(&self, claims: &Claims) -> Result<(), Error> {
        if claims.role != Role::Admin {
            return Err(Error::Forbidden);
        }
        self.store.run(async |client| self.is_admitted(client, claims).await).await?
    }

    /// What the database says of the caller.
    pub(super) async fn is_admitted(
        &self,
        client: &impl Statements,
        claims: &Claims,
    ) -> Result<Result<(), Error>, store::Error> {
        let role = sessions::find_live_role(client, claims.sub, claims.sid, &self.sessions).await?;
        Ok(match role {
            Some(Role::Admin) => Ok(()),
            Some(_) => Err(Error::Forbidden),
            None => Err(Error::AccessTokenInvalid),
        })
    }

    /// Does something to an account, recorded as the caller's doing, while the caller is an administrator: both accounts are
    /// locked meanwhile, so of two who demote each other one is too late.
    async fn administer(
        &self,
        claims: &Claims,
        user_id: Uuid,
        sender: &Sender,
        work: impl AsyncFnOnce(&Transaction<'_>, &Sender) -> Result<Result<Changed, Error>, store::Error>,
    ) -> Result<Changed, Error> {
        if claims.role != Role::Admin {
            return Err(Error::Forbidden);
        }
        let sender = &sender.acting(claims.sub);
        let changing = self.store.transaction(async |transaction| {
            // Two statements: the second sees what was committed while the first waited.
            users::lock_all(transaction, &[claims.sub, user_id]).await?;
            match self.is_admitted(transaction, claims).await? {
                Ok(()) => work(transaction, sender).await,
                Err(refused) => Ok(Err(refused)),
            }
        });
        let changed = changing.await??;
        changed.tell(sender);
        Ok(changed)
    }
}
