//! Profile claims: fields of profiles that an operator wants in access tokens.

use serde_json::{Map, Value};

/// The names of the fields. The claims have the same ones.
#[derive(Debug, Clone, Default)]
pub struct ProfileClaims(Vec<String>);

/// With [`MAX_VALUE_BYTES`] and the longest name, claims of 2.5 KiB: a token stays below 5 KiB, where proxies take headers
/// of 8.
const MAX_NAMES: usize = 8;
const MAX_NAME_BYTES: usize = 64;
/// Of compact JSON.
const MAX_VALUE_BYTES: usize = 256;

/// Claims that mean something already: those that tokens have, those of the registry (RFC 7519 section 10.1), and those by
/// which common APIs decide what somebody may do. People write their own profiles.
const TAKEN: [&str; 79] = [
    // Of our tokens.
    "iss",
    "sub",
    "aud",
    "exp",
    "nbf",
    "iat",
    "jti",
    "sid",
    "auth_time",
    "email",
    "role",
    "type",
    "scope",
    "client_id",
    // Of the registry.
    "name",
    "given_name",
    "family_name",
    "middle_name",
    "nickname",
    "preferred_username",
    "profile",
    "picture",
    "website",
    "email_verified",
    "gender",
    "birthdate",
    "zoneinfo",
    "locale",
    "phone_number",
    "phone_number_verified",
    "address",
    "updated_at",
    "azp",
    "nonce",
    "at_hash",
    "c_hash",
    "s_hash",
    "acr",
    "amr",
    "sub_jwk",
    "cnf",
    "events",
    "toe",
    "txn",
    "act",
    "may_act",
    "roles",
    "groups",
    "entitlements",
    "token_introspection",
    "authorization_details",
    "vc",
    "vp",
    "verified_claims",
    "place_of_birth",
    "nationalities",
    "birth_family_name",
    "birth_given_name",
    "birth_middle_name",
    "salutation",
    "title",
    "msisdn",
    "also_known_as",
    "htm",
    "htu",
    "ath",
    "client_metadata",
    // Of common APIs.
    "typ",
    "kid",
    "uid",
    "user_id",
    "username",
    "scp",
    "scopes",
    "permissions",
    "authorities",
    "admin",
    "is_admin",
    "tenant",
];

impl ProfileClaims {
    /// Reads a name.
    ///
    /// # Errors
    /// The rule that it breaks, in words.
    pub fn parse_name(name: &str) -> Result<String, &'static str> {
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        if name.is_empty() || name.len() > MAX_NAME_BYTES || !plain {
            Err("is no name of up to 64 letters, digits, _ and -")
        } else if TAKEN.iter().any(|taken| taken.eq_ignore_ascii_case(name)) {
            Err("is a claim that means something already")
        } else {
            Ok(name.to_owned())
        }
    }

    /// A list of names.
    ///
    /// # Errors
    /// The rule that it breaks, in words.
    pub fn new(names: Vec<String>) -> Result<Self, &'static str> {
        let is_repeated = |(at, name): (usize, &String)| names.iter().take(at).any(|earlier| earlier == name);
        if names.len() > MAX_NAMES {
            Err("has more than 8 names; what is more belongs into GET /api/auth/me")
        } else if names.iter().enumerate().any(is_repeated) {
            Err("names a field twice")
        } else {
            Ok(Self(names))
        }
    }

    /// Whether there is none, and nobody need read a profile.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The claims that a profile makes. A field that is not there, is null, or is larger than 256 bytes of JSON makes none.
    pub(super) fn of(&self, profile: &Value) -> Map<String, Value> {
        let small = |value: &&Value| !value.is_null() && value.to_string().len() <= MAX_VALUE_BYTES;
        let claim = |name: &String| Some((name.clone(), profile.get(name).filter(small)?.clone()));
        self.0.iter().filter_map(claim).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(names: &[&str]) -> ProfileClaims {
        ProfileClaims::new(names.iter().map(|name| ProfileClaims::parse_name(name).unwrap()).collect()).unwrap()
    }

    #[test]
    fn fields_that_are_there_and_small_become_claims() {
        let profile = json!({"level": 2, "plan": {"name": "pro"}, "none": null, "more": 1, "large": "x".repeat(255)});
        let made = claims(&["level", "plan", "none", "absent", "large"]).of(&profile);
        assert_eq!(Value::Object(made), json!({"level": 2, "plan": {"name": "pro"}}));
        let sized = |n: usize| claims(&["a"]).of(&json!({"a": "x".repeat(n)})).len();
        assert_eq!((sized(254), sized(255)), (1, 0));
    }

    #[test]
    fn a_claim_that_means_something_is_refused_in_any_case() {
        for name in TAKEN {
            assert!(ProfileClaims::parse_name(name).is_err(), "{name}");
            assert!(ProfileClaims::parse_name(&name.to_uppercase()).is_err(), "{name}");
        }
        for name in ["", "a.b", "https://hasura.io/jwt/claims", "a b", "é", &"a".repeat(65)] {
            assert!(ProfileClaims::parse_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_list_is_short_and_without_repetitions() {
        let names = |count: usize| (0..count).map(|n| format!("field{n}")).collect::<Vec<_>>();
        assert!(ProfileClaims::new(names(8)).is_ok() && ProfileClaims::new(names(9)).is_err());
        assert!(ProfileClaims::new(vec!["a".into(), "a".into()]).is_err());
    }
}
