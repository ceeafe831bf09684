//! Refresh tokens: their text, their keys, and how one follows from another.
//!
//! A token is `rt1_` and base64url of: key id (1 byte), user id (16), session id (16), generation (4, big-endian),
//! secret (32), tag (16). The tag lets the service refuse, without asking the database, whatever it did not issue. The
//! secret of generation n+1 is an HMAC over the secret of generation n, so only somebody who shows the parent token can
//! make the service compute its successor again; nothing about the successor has to be stored for a retry.
//! docs/token-lifecycle.md has the whole story.

use std::fmt;

use aws_lc_rs::{constant_time, digest, hkdf, hmac, rand};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use uuid::Uuid;

use super::secret::Secret;

const PREFIX: &str = "rt1_";
const SIGNED_BYTES: usize = 1 + 16 + 16 + 4 + 32;
const TAG_BYTES: usize = 16;
const BYTES: usize = SIGNED_BYTES + TAG_BYTES;

/// The keys of a deployment, newest first. Tokens are issued under the first and understood under all.
#[derive(Debug)]
pub struct RefreshKeys(Vec<Key>);

struct Key {
    /// Narrows down the key that made a token. Derived from the secret, so that operators may name keys as they like.
    id: u8,
    step: hmac::Key,
    tag: hmac::Key,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id)
    }
}

/// A genuine token: this service issued it, whatever has become of its session since.
#[derive(Clone, PartialEq, Eq)]
pub struct RefreshToken {
    key: usize,
    /// Whose session it is.
    pub user_id: Uuid,
    /// The session.
    pub session_id: Uuid,
    /// How many rotations came before it.
    pub generation: u32,
    secret: [u8; 32],
}

/// SHA-256 of a token's secret: what the database holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecretHash(pub [u8; 32]);

/// What may follow a token: one candidate for each key.
#[derive(Debug)]
pub struct Successors {
    newest: RefreshToken,
    older: Vec<RefreshToken>,
}

/// A token's text, for its client and nobody else. Silent.
pub struct RefreshTokenText(String);

impl RefreshTokenText {
    /// The text, to be sent.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
}

impl fmt::Debug for RefreshTokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefreshTokenText(…)")
    }
}

impl RefreshKeys {
    /// Derives the working keys of each secret.
    ///
    /// # Errors
    /// Never for a configured list; the cryptographic library's signature allows it.
    pub fn derive(secrets: &[Secret]) -> Result<Self, aws_lc_rs::error::Unspecified> {
        secrets.iter().map(Key::derive).collect::<Result<_, _>>().map(Self)
    }

    /// The first token of a new session.
    ///
    /// # Errors
    /// Only when the system has no random bytes.
    pub fn first_token(&self, user_id: Uuid, session_id: Uuid) -> Result<RefreshToken, aws_lc_rs::error::Unspecified> {
        let mut secret = [0; 32];
        rand::fill(&mut secret)?;
        Ok(RefreshToken { key: 0, user_id, session_id, generation: 0, secret })
    }

    /// Reads a token that this service issued under any of the keys; none for anything else.
    #[must_use]
    pub fn parse(&self, text: &str) -> Option<RefreshToken> {
        let encoded = text.strip_prefix(PREFIX)?;
        // One byte more, so that the decoder can notice a text that is too long.
        let mut bytes = [0; BYTES + 1];
        let length = BASE64_URL_SAFE_NO_PAD.decode_slice(encoded, &mut bytes).ok()?;
        let bytes: &[u8; BYTES] = bytes.get(..length)?.try_into().ok()?;
        let (signed, tag) = bytes.split_at(SIGNED_BYTES);
        let key = self.0.iter().position(|key| key.signed(signed, tag))?;

        let (_, rest) = signed.split_at_checked(1)?;
        let (user_id, rest) = rest.split_first_chunk()?;
        let (session_id, rest) = rest.split_first_chunk()?;
        let (generation, rest) = rest.split_first_chunk()?;
        Some(RefreshToken {
            key,
            user_id: Uuid::from_bytes(*user_id),
            session_id: Uuid::from_bytes(*session_id),
            generation: u32::from_be_bytes(*generation),
            secret: rest.try_into().ok()?,
        })
    }

    /// What may follow `token`; none at the last generation a token can express, some 4 thousand million rotations on.
    #[must_use]
    pub fn successors(&self, token: &RefreshToken) -> Option<Successors> {
        let generation = token.generation.checked_add(1)?;
        let follow = |(index, key): (usize, &Key)| {
            let secret = key.next_secret(token, generation)?;
            Some(RefreshToken { key: index, generation, secret, ..token.clone() })
        };
        let mut candidates = self.0.iter().enumerate().map(follow);
        let newest = candidates.next()??;
        Some(Successors { newest, older: candidates.collect::<Option<_>>()? })
    }

    /// The token's text; none for a token of other keys.
    #[must_use]
    pub fn encode(&self, token: &RefreshToken) -> Option<RefreshTokenText> {
        let key = self.0.get(token.key)?;
        let mut bytes = Vec::with_capacity(BYTES);
        bytes.push(key.id);
        bytes.extend(token.user_id.as_bytes());
        bytes.extend(token.session_id.as_bytes());
        bytes.extend(token.generation.to_be_bytes());
        bytes.extend(token.secret);
        let tag = hmac::sign(&key.tag, &bytes);
        bytes.extend(tag.as_ref().get(..TAG_BYTES)?);
        Some(RefreshTokenText(format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(bytes))))
    }
}

impl Key {
    fn derive(secret: &Secret) -> Result<Self, aws_lc_rs::error::Unspecified> {
        let root = hkdf::Salt::new(hkdf::HKDF_SHA256, b"claviger refresh token v1").extract(secret.bytes());
        let hmac_key = |label: &'static [u8]| root.expand(&[label], hmac::HMAC_SHA256).map(hmac::Key::from);
        let id: digest::Digest = digest::digest(&digest::SHA256, hmac::sign(&hmac_key(b"key id")?, b"").as_ref());
        Ok(Self {
            id: id.as_ref().first().copied().unwrap_or_default(),
            step: hmac_key(b"step")?,
            tag: hmac_key(b"tag")?,
        })
    }

    fn signed(&self, signed: &[u8], tag: &[u8]) -> bool {
        let expected = hmac::sign(&self.tag, signed);
        let expected = expected.as_ref().get(..TAG_BYTES).unwrap_or_default();
        // The id is public; only the tag must not be found out byte by byte.
        signed.first() == Some(&self.id) && constant_time::verify_slices_are_equal(expected, tag).is_ok()
    }

    fn next_secret(&self, token: &RefreshToken, generation: u32) -> Option<[u8; 32]> {
        let mut step = hmac::Context::with_key(&self.step);
        step.update(token.user_id.as_bytes());
        step.update(token.session_id.as_bytes());
        step.update(&generation.to_be_bytes());
        step.update(&token.secret);
        step.sign().as_ref().try_into().ok()
    }
}

impl RefreshToken {
    /// What the database holds in place of this token.
    #[must_use]
    pub fn hash(&self) -> SecretHash {
        SecretHash::of(&self.secret)
    }
}

impl fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RefreshToken(session {}, generation {})", self.session_id, self.generation)
    }
}

impl SecretHash {
    /// SHA-256 without salt: its input has 256 random bits, so there is nothing to guess.
    #[must_use]
    pub fn of(secret: &[u8]) -> Self {
        let mut hash = [0; 32];
        let digest = digest::digest(&digest::SHA256, secret);
        hash.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
        Self(hash)
    }
}

impl Successors {
    /// The candidate under the newest key: what a rotation issues.
    #[must_use]
    pub fn newest(&self) -> &RefreshToken {
        &self.newest
    }

    /// The candidate that the row holds: what an earlier rotation issued.
    #[must_use]
    pub fn find(&self, hash: SecretHash) -> Option<&RefreshToken> {
        self.all().find(|token| token.hash() == hash)
    }

    /// What the database would hold for each.
    #[must_use]
    pub fn hashes(&self) -> Vec<Vec<u8>> {
        self.all().map(|token| token.hash().0.to_vec()).collect()
    }

    fn all(&self) -> impl Iterator<Item = &RefreshToken> {
        std::iter::once(&self.newest).chain(&self.older)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OLD: &str = "old:q7Zr0J4m8VtX2cLwN9sKfB5yHdP1gUeA6TiRoWk3";
    const NEW: &str = "new:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    fn keys(list: &str) -> RefreshKeys {
        RefreshKeys::derive(&Secret::parse_list(list).unwrap()).unwrap()
    }

    fn text(keys: &RefreshKeys, token: &RefreshToken) -> String {
        keys.encode(token).unwrap().into_string()
    }

    fn token(keys: &RefreshKeys) -> RefreshToken {
        keys.first_token(Uuid::new_v4(), Uuid::now_v7()).unwrap()
    }

    #[test]
    fn a_token_is_118_url_safe_characters_with_a_prefix_for_scanners() {
        let keys = keys(NEW);
        let text = text(&keys, &token(&keys));
        assert_eq!(text.len(), 118);
        assert!(text.starts_with("rt1_") && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
    }

    #[test]
    fn one_flipped_bit_anywhere_makes_a_token_nobody_issued() {
        let keys = keys(NEW);
        let text = text(&keys, &token(&keys));
        for (at, bit) in (0..text.len()).flat_map(|at| (0..7).map(move |bit| (at, bit))) {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1 << bit;
            let forged = String::from_utf8(bytes).unwrap();
            assert_eq!(keys.parse(&forged), None, "bit {bit} of character {at}");
        }
    }

    #[test]
    fn no_other_length_is_a_token() {
        let keys = keys(NEW);
        let text = text(&keys, &token(&keys));
        for end in 0..text.len() {
            assert_eq!(keys.parse(&text[..end]), None);
        }
        for more in ["A", "AA", "=", "==", " ", "\n", "\0", &text, &"A".repeat(10_000)] {
            assert_eq!(keys.parse(&format!("{text}{more}")), None);
            assert_eq!(keys.parse(&format!("{more}{text}")), None);
        }
    }

    #[test]
    fn a_retry_computes_the_same_successor() {
        let keys = keys(NEW);
        let parent = token(&keys);
        let once = keys.successors(&parent).unwrap();
        let again = keys.successors(&keys.parse(&text(&keys, &parent)).unwrap()).unwrap();
        assert_eq!(text(&keys, once.newest()), text(&keys, again.newest()));
        assert_ne!(once.newest().hash(), parent.hash());
    }

    #[test]
    fn a_token_outlives_the_key_that_made_it_moving_to_second_place() {
        let before = keys(OLD);
        let rotated = keys(&format!("{NEW},{OLD}"));
        let parent = token(&before);
        let issued = before.successors(&parent).unwrap();
        let issued = issued.newest();

        let parsed = rotated.parse(&text(&before, &parent)).unwrap();
        let candidates = rotated.successors(&parsed).unwrap();
        let found = candidates.find(issued.hash()).unwrap();
        assert_eq!(text(&rotated, found), text(&before, issued), "a retry across the change gets the same text");
        assert_ne!(candidates.newest().hash(), issued.hash(), "a rotation uses the new key");
        assert_eq!(keys(NEW).parse(&text(&before, &parent)), None, "a dropped key is forgotten");
    }

    #[test]
    fn debug_shows_no_secret() {
        let keys = keys(NEW);
        let token = token(&keys);
        let shown = format!("{token:?} {keys:?} {:?} {:?}", keys.successors(&token).unwrap(), keys.encode(&token));
        let listed = format!("{:?}", &token.secret[..4]);
        assert!(!shown.contains(listed.trim_matches(['[', ']'])), "{shown}");
        assert!(!shown.contains("rt1_"), "{shown}");
    }

    #[test]
    fn the_last_generation_has_no_successor() {
        let keys = keys(NEW);
        let last = RefreshToken { generation: u32::MAX, ..token(&keys) };
        assert!(keys.successors(&last).is_none());
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_parsed(user in any::<u128>(), session in any::<u128>(), generation in any::<u32>(),
                                     secret in any::<[u8; 32]>()) {
            let keys = keys(&format!("{NEW},{OLD}"));
            let token = RefreshToken {
                key: 1, user_id: Uuid::from_u128(user), session_id: Uuid::from_u128(session), generation, secret,
            };
            prop_assert_eq!(keys.parse(&text(&keys, &token)), Some(token));
        }

        #[test]
        fn no_text_of_the_right_shape_is_a_token(body in "[A-Za-z0-9_-]{114}") {
            prop_assert_eq!(keys(NEW).parse(&format!("rt1_{body}")), None);
        }

        #[test]
        fn no_text_at_all_is_a_token(text in any::<String>()) {
            prop_assert_eq!(keys(NEW).parse(&text), None);
        }
    }
}
