//! The keys in use, which an operator can replace while requests are served.

use std::sync::{Arc, PoisonError, RwLock};

use crate::domain::access_token::AccessTokens;
use crate::domain::refresh_token::RefreshKeys;

/// What makes and reads tokens.
pub struct Keys {
    /// Signs and verifies access tokens.
    pub access_tokens: AccessTokens,
    /// Makes and reads refresh tokens.
    pub refresh_keys: RefreshKeys,
}

/// The keys in use.
pub struct KeyRing(RwLock<Arc<Keys>>);

impl KeyRing {
    /// A ring that starts with these.
    #[must_use]
    pub fn new(keys: Keys) -> Self {
        Self(RwLock::new(Arc::new(keys)))
    }

    /// The keys of this moment. A use case takes them once, so that it does not begin with one set and end with another.
    pub fn current(&self) -> Arc<Keys> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Uses these from now on.
    pub fn replace(&self, keys: Keys) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
    }
}
