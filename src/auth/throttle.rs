//! Limits on tries, kept by all processes together in the database.

use std::net::{IpAddr, Ipv4Addr};

use super::{Auth, Error};
use crate::domain::session::Sender;
use crate::domain::throttle::Limit;
use crate::store::throttles;

impl Auth {
    /// Takes a try before the work is done.
    ///
    /// # Errors
    /// [`Error::RateLimited`] with the time to wait, [`Error::DatabaseUnavailable`].
    pub(super) async fn take(&self, limits: &[Limit], sender: &Sender) -> Result<(), Error> {
        if !self.throttling {
            return Ok(());
        }
        let Some(wait) = self.store.run(async |client| throttles::take(client, limits).await).await? else {
            return Ok(());
        };
        let ip_address = sender.ip_address.map(|address| address.to_string());
        tracing::warn!(ip_address, seconds = wait.as_secs(), "too many tries; held back");
        Err(Error::RateLimited(wait))
    }
}

/// The address that tries are counted by; without one, all count as one.
pub(super) fn counted(sender: &Sender) -> IpAddr {
    sender.ip_address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}
