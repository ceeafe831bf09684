//! Access tokens in exactly the form in which this service signs them, read without detours: the header compared instead of read,
//! keys prepared once, the claims read once. It says of a token that it is good, or nothing; then the JWT library decides.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};

use super::access_token::{AccessTokenPolicy, Claims};
use super::secret::Secret;

/// Longer than a signature, as the decoder asks for.
const ROOM: usize = 48;

/// What all tokens begin with that are signed now, and what they may be signed with.
pub(super) struct OwnForm {
    /// The encoded header and its dot.
    start: String,
    keys: Vec<hmac::Key>,
}

impl OwnForm {
    /// That of a token that was just signed.
    pub(super) fn of(token: &str, secrets: &[Secret]) -> Option<Self> {
        let (header, _) = token.split_once('.')?;
        let keys = secrets.iter().map(|secret| hmac::Key::new(hmac::HMAC_SHA256, secret.bytes()));
        Some(Self { start: format!("{header}."), keys: keys.collect() })
    }

    /// The claims of a token that is good.
    pub(super) fn read(&self, text: &str, policy: &AccessTokenPolicy) -> Option<Claims> {
        let (message, signature) = text.rsplit_once('.')?;
        let claims = message.strip_prefix(&self.start)?;
        let mut room = [0; ROOM];
        let length = BASE64_URL_SAFE_NO_PAD.decode_slice(signature, &mut room).ok()?;
        let signature = room.get(..length)?;
        let is_signed = |key: &hmac::Key| hmac::verify(key, message.as_bytes(), signature).is_ok();
        if !self.keys.iter().any(is_signed) {
            return None;
        }
        let claims = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
        // What is signed here says nothing of when it begins, under no spelling of that name. And a list of the values would be read
        // as the claims, too.
        if !claims.starts_with('{') || claims.contains('\\') || claims.contains("\"nbf\"") {
            return None;
        }
        let claims: Claims = serde_json::from_str(&claims).ok()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
        let is_alive = u64::try_from(claims.exp).is_ok_and(|end| end > now);
        (is_alive && claims.iss == policy.issuer && claims.aud == policy.audience).then_some(claims)
    }
}
