//! Who gets in: a good token of a session that has not ended.

use std::time::Duration;

use crate::{BadToken, Claims, Revocations, Verifier};

/// Decides whether a token opens your API.
#[derive(Debug)]
pub struct Gate {
    verifier: Verifier,
    revocations: Option<Revocations>,
    max_age: Option<Duration>,
}

/// Why a token does not open the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It was good and is over: the caller should refresh, and repeat the call.
    #[error("the access token has expired")]
    Expired,
    /// It never was good.
    #[error("the access token is not valid")]
    Invalid,
    /// Its session has ended, or its user was cut off.
    #[error("the session of the access token has ended")]
    Ended,
    /// It may be good, but which sessions ended is not known well enough to tell.
    #[error("which sessions have ended is not known at the moment")]
    Unsure,
}

impl From<BadToken> for Refused {
    fn from(bad: BadToken) -> Self {
        match bad {
            BadToken::Expired => Self::Expired,
            BadToken::Invalid => Self::Invalid,
        }
    }
}

impl Gate {
    /// A gate that lets nobody in before the list of revocations was heard once. Later it goes by what it knows: an outage of
    /// the service must not close every API, and what was issued before expires. Who cannot hear while others can, as its
    /// credentials were removed or somebody keeps it from the service, would let ended sessions in until their tokens expire:
    /// set [`Self::max_age`] where that counts for more than an outage.
    #[must_use]
    pub fn new(verifier: Verifier, revocations: Revocations) -> Self {
        Self { verifier, revocations: Some(revocations), max_age: None }
    }

    /// A gate that knows of no ended session: their tokens open it until they expire, in ten minutes by default.
    #[must_use]
    pub fn without_revocations(verifier: Verifier) -> Self {
        Self { verifier, revocations: None, max_age: None }
    }

    /// Lets nobody in either while the list is older than this. Take several times the pause between two questions.
    #[must_use]
    pub fn max_age(self, max_age: Duration) -> Self {
        Self { max_age: Some(max_age), ..self }
    }

    /// What the token of a person says who may come in.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn check(&self, token: &str) -> Result<Claims, Refused> {
        let claims = self.verifier.verify(token)?;
        let Some(revocations) = &self.revocations else { return Ok(claims) };
        // First, as what is known stays true however old the list is.
        if revocations.refuse(&claims) {
            return Err(Refused::Ended);
        }
        let age = revocations.age().ok_or(Refused::Unsure)?;
        if self.max_age.is_some_and(|max_age| age > max_age) { Err(Refused::Unsure) } else { Ok(claims) }
    }

    /// For tokens of programs, which no list is about: they live for five minutes.
    #[must_use]
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// How old the list of revocations is; none if it was never heard, or nobody listens.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        self.revocations.as_ref().and_then(Revocations::age)
    }
}
