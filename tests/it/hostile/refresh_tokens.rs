//! What is read as a refresh token is, byte for byte, one that was issued.

use std::sync::LazyLock;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use claviger::domain::refresh_token::{RefreshKeys, RefreshToken};
use claviger::domain::secret::Secret;
use uuid::Uuid;

use super::edits::edited;

const OLD: &str = "old:q7Zr0J4m8VtX2cLwN9sKfB5yHdP1gUeA6TiRoWk3";
const NEW: &str = "new:fWq3kPz7RtYx1VbN5mLc9HsD2gJ8aKeU4oXi6TvB0nE";
const STRANGE: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

struct Issued {
    keys: RefreshKeys,
    /// A first token, its successor, and one under the older key.
    texts: Vec<String>,
    /// Good tokens of another deployment.
    strange: String,
}

static ISSUED: LazyLock<Issued> = LazyLock::new(|| {
    let (keys, old, strange) = (keys(&format!("{NEW},{OLD}")), keys(OLD), keys(STRANGE));
    let first = first(&keys);
    let successor = keys.successors(&first).unwrap();
    let texts = vec![text(&keys, &first), text(&keys, successor.newest()), text(&old, &self::first(&old))];
    let strange = text(&strange, &self::first(&strange));
    Issued { keys, texts, strange }
});

fn keys(list: &str) -> RefreshKeys {
    RefreshKeys::derive(&Secret::parse_list(list).unwrap()).unwrap()
}

fn first(keys: &RefreshKeys) -> RefreshToken {
    keys.first_token(Uuid::from_u128(7), Uuid::from_u128(8)).unwrap()
}

fn text(keys: &RefreshKeys, token: &RefreshToken) -> String {
    keys.encode(token).unwrap().into_string()
}

/// `e`: changes to the text of a token, `a`: something behind it, `b`: changes to its bytes, `s`: to a token of another
/// deployment; else the text itself.
pub(crate) fn check(data: &[u8]) {
    let Some((way, rest)) = data.split_first() else { return };
    let Issued { keys, texts, strange } = &*ISSUED;
    let good = &texts[rest.first().map_or(0, |byte| usize::from(*byte) % texts.len())];
    let changed = match way {
        b'e' => edited(good.as_bytes(), rest),
        b'b' => {
            let bytes = BASE64_URL_SAFE_NO_PAD.decode(&good[4..]).unwrap();
            format!("rt1_{}", BASE64_URL_SAFE_NO_PAD.encode(edited(&bytes, rest))).into_bytes()
        }
        b'a' => [good.as_bytes(), rest].concat(),
        b's' => edited(strange.as_bytes(), rest),
        _ => rest.to_vec(),
    };
    let shown = String::from_utf8_lossy(&changed);
    match keys.parse(&shown) {
        Some(token) => {
            assert!(texts.iter().any(|issued| *issued == shown), "{shown:?} was never issued");
            // A token of the older key is encoded under it, too.
            assert_eq!(text(keys, &token), shown);
            assert_eq!((token.user_id, token.session_id), (Uuid::from_u128(7), Uuid::from_u128(8)));
        }
        None => assert!(!texts.iter().any(|issued| *issued == shown), "{shown:?} was issued"),
    }
}
