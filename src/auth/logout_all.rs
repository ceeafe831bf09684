//! Logout everywhere.

use super::{Auth, Error};
use crate::domain::access_token::Claims;
use crate::domain::session::{Device, EndedBy};
use crate::store::sessions::{self, EndAll};

impl Auth {
    /// Ends all sessions of the caller, or all but the one that the access token belongs to, and says how many there
    /// were. Once this has answered, no refresh that was under way brings one back.
    ///
    /// # Errors
    /// [`Error::DatabaseUnavailable`].
    pub async fn logout_all(&self, claims: &Claims, keep_current: bool, device: &Device) -> Result<i64, Error> {
        let kept = keep_current.then_some(claims.sid);
        let ending = EndAll { user_id: claims.sub, kept, ended_by: EndedBy::LogoutAll, device };
        Ok(self.store.transaction(async |transaction| sessions::end_all(transaction, ending).await).await?)
    }
}
