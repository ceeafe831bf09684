//! Hashes that other systems made, told apart by their form and stored as they stand there behind the name of the scheme.

use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::{DecodePaddingMode, Engine as _};

use super::work::{BCRYPT_COSTS, Bcrypt, Before, Rule, Work, malformed, number};

/// A hash, what it takes to compare with it, and how it is stored.
pub(super) struct Foreign {
    label: &'static str,
    source: String,
    pub(super) form: Form,
    pub(super) work: Work,
}

/// What the other system made of a typed password.
#[derive(Clone, Copy)]
pub(super) enum Form {
    /// Nothing.
    Typed,
    /// Unicode's NFKC.
    Nfkc,
}

/// None of the schemes makes a longer text.
const MOST_BYTES: usize = 512;

/// Libraries differ in whether they fill up with `=`.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl Foreign {
    /// Reads what the column holds; none for what no other system made.
    pub(super) fn from_stored(stored: &str) -> Option<Self> {
        let (label, source) = stored.strip_prefix('{')?.split_once('}')?;
        recognise(source).ok().filter(|foreign| foreign.label == label)
    }

    /// What the column is to hold.
    pub(super) fn to_stored(&self) -> String {
        format!("{{{}}}{}", self.label, self.source)
    }
}

/// Reads a hash as its own system's table has it.
pub(super) fn recognise(text: &str) -> Result<Foreign, Rule> {
    const UNKNOWN: &str = "is of no scheme that is known here, such as bcrypt, PBKDF2, scrypt or argon2; plain text, MD5 and SHA are never taken";
    if text.len() > MOST_BYTES {
        return Err("is longer than any hash that is known here".into());
    }
    let foreign = |label, work: Result<Work, Rule>| {
        Ok(Foreign { label, source: text.to_owned(), form: Form::Typed, work: work? })
    };
    let phc = || text.strip_prefix('$').and_then(|rest| rest.split_once('$'));
    if let Some((scheme, rest)) = phc() {
        return match scheme {
            "2a" | "2b" | "2y" => foreign("bcrypt", plain_bcrypt(text)),
            "2x" => Err("was made by a broken bcrypt ($2x$), which other passwords match, too".into()),
            "bcrypt-sha256" => foreign("passlib", passlib_bcrypt(rest)),
            "pbkdf2" => foreign("passlib", passlib_pbkdf2("sha1", rest)),
            "pbkdf2-sha256" => foreign("passlib", passlib_pbkdf2("sha256", rest)),
            "pbkdf2-sha512" => foreign("passlib", passlib_pbkdf2("sha512", rest)),
            "scrypt" => foreign("passlib", passlib_scrypt(rest)),
            "argon2i" => foreign("argon2", argon2(argon2::Algorithm::Argon2i, rest)),
            "argon2id" => foreign("argon2", argon2(argon2::Algorithm::Argon2id, rest)),
            _ => Err(UNKNOWN.into()),
        };
    }
    if let Some(better_auth) = better_auth(text) {
        return foreign("better-auth", better_auth).map(|foreign| Foreign { form: Form::Nfkc, ..foreign });
    }
    let Some((method, rest)) = text.split_once('$') else { return Err(UNKNOWN.into()) };
    match method {
        "pbkdf2_sha256" => foreign("django", django_pbkdf2("sha256", rest)),
        "pbkdf2_sha1" => foreign("django", django_pbkdf2("sha1", rest)),
        "scrypt" => foreign("django", django_scrypt(rest)),
        "argon2" => foreign("django", django_argon2(rest)),
        "bcrypt" => foreign("django", plain_bcrypt(rest)),
        "bcrypt_sha256" => foreign("django", django_bcrypt(rest)),
        _ if method.starts_with("pbkdf2:") || method.starts_with("scrypt:") => {
            foreign("werkzeug", werkzeug(method, rest))
        }
        _ => Err(UNKNOWN.into()),
    }
}

/// The pieces between dollar signs, if there are just so many.
fn pieces<const N: usize>(text: &str) -> Result<[&str; N], Rule> {
    let pieces: Vec<&str> = text.split('$').collect();
    pieces.try_into().or_else(|_other| malformed())
}

fn base64(text: &str) -> Result<Vec<u8>, Rule> {
    BASE64.decode(text).or_else(|_other| malformed())
}

fn hex(text: &str) -> Result<Vec<u8>, Rule> {
    let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    let pairs = digits.filter(|digits| digits.len() % 2 == 0).unwrap_or_default();
    let bytes = pairs.chunks_exact(2).map(|pair| pair.iter().fold(0, |byte, digit| byte * 16 + digit));
    bytes.map(|byte| u8::try_from(byte).or_else(|_large| malformed())).collect()
}

/// The values of `name=value,name=value` with just these names.
fn named<const N: usize>(text: &str, names: [&str; N]) -> Result<[u32; N], Rule> {
    let values: Result<Vec<u32>, Rule> = text
        .split(',')
        .enumerate()
        .map(|(index, pair)| {
            let (name, value) = pair.split_once('=').unwrap_or_default();
            if names.get(index) == Some(&name) { number(value) } else { malformed() }
        })
        .collect();
    values?.try_into().or_else(|_other| malformed())
}

/// `$2b$12$…`
fn plain_bcrypt(text: &str) -> Result<Work, Rule> {
    Ok(Work::Bcrypt(Bcrypt::parse(text, BCRYPT_COSTS)?, Before::Nothing))
}

/// `v=2,t=2b,r=12$salt$digest`, or `2b,12$salt$digest` before passlib 1.7.3
fn passlib_bcrypt(rest: &str) -> Result<Work, Rule> {
    let [parameters, salt, digest] = pieces(rest)?;
    let parameters: Vec<&str> = parameters.split(',').collect();
    let (cost, before) = match *parameters {
        ["v=2", "t=2b", cost] => (cost.strip_prefix("r=").unwrap_or_default(), Before::HmacBase64(salt.to_owned())),
        ["2a" | "2b", cost] => (cost, Before::Sha256Base64),
        _ => return malformed(),
    };
    Ok(Work::Bcrypt(Bcrypt::of(cost, salt, digest, BCRYPT_COSTS)?, before))
}

/// `29000$salt$digest`, in a base64 with dots
fn passlib_pbkdf2(hash: &str, rest: &str) -> Result<Work, Rule> {
    let [iterations, salt, digest] = pieces(rest)?;
    let bytes = |text: &str| base64(&text.replace('.', "+"));
    Work::pbkdf2(hash, iterations, bytes(salt)?, bytes(digest)?)
}

/// `ln=16,r=8,p=1$salt$digest`
fn passlib_scrypt(rest: &str) -> Result<Work, Rule> {
    let [parameters, salt, digest] = pieces(rest)?;
    let [log_n, r, p] = named(parameters, ["ln", "r", "p"])?;
    Work::scrypt(log_n, r, p, base64(salt)?, base64(digest)?)
}

/// `v=19$m=65536,t=3,p=4$salt$digest`; without the version it is the first one
fn argon2(algorithm: argon2::Algorithm, rest: &str) -> Result<Work, Rule> {
    let (version, rest) = match rest.strip_prefix("v=").and_then(|rest| rest.split_once('$')) {
        Some(("19", rest)) => (argon2::Version::V0x13, rest),
        Some(("16", rest)) => (argon2::Version::V0x10, rest),
        Some(_) => return malformed(),
        None => (argon2::Version::V0x10, rest),
    };
    let [parameters, salt, digest] = pieces(rest)?;
    let parameters = named(parameters, ["m", "t", "p"])?;
    Work::argon2((algorithm, version), parameters, base64(salt)?, base64(digest)?)
}

/// `1000000$salt$digest`; the salt is text
fn django_pbkdf2(hash: &str, rest: &str) -> Result<Work, Rule> {
    let [iterations, salt, digest] = pieces(rest)?;
    Work::pbkdf2(hash, iterations, salt.into(), base64(digest)?)
}

/// `16384$salt$8$5$digest`
fn django_scrypt(rest: &str) -> Result<Work, Rule> {
    let [n, salt, r, p, digest] = pieces(rest)?;
    Work::scrypt(log2(n)?, number(r)?, number(p)?, salt.into(), base64(digest)?)
}

/// `argon2id$v=19$m=102400,t=2,p=8$salt$digest`
fn django_argon2(rest: &str) -> Result<Work, Rule> {
    match rest.split_once('$') {
        Some(("argon2i", rest)) => argon2(argon2::Algorithm::Argon2i, rest),
        Some(("argon2id", rest)) => argon2(argon2::Algorithm::Argon2id, rest),
        _ => malformed(),
    }
}

/// `$2b$12$…`, of the password's SHA-256 in hexadecimal digits
fn django_bcrypt(rest: &str) -> Result<Work, Rule> {
    Ok(Work::Bcrypt(Bcrypt::parse(rest, BCRYPT_COSTS)?, Before::Sha256Hex))
}

/// `pbkdf2:sha256:1000000` or `scrypt:32768:8:1`, then `salt$digest`; the salt is text
fn werkzeug(method: &str, rest: &str) -> Result<Work, Rule> {
    let [salt, digest] = pieces(rest)?;
    let (salt, digest) = (salt.into(), hex(digest)?);
    let parts: Vec<&str> = method.split(':').collect();
    match *parts {
        ["pbkdf2", hash, iterations] => Work::pbkdf2(hash, iterations, salt, digest),
        ["pbkdf2", _hash] => Err("does not say how many iterations it has".into()),
        ["scrypt", n, r, p] => Work::scrypt(log2(n)?, number(r)?, number(p)?, salt, digest),
        _ => malformed(),
    }
}

/// `salt:key` in hexadecimal digits; the salt is used as that text. None for what does not look so.
fn better_auth(text: &str) -> Option<Result<Work, Rule>> {
    let (salt, key) = text.split_once(':')?;
    let looks_so = salt.len() == 32 && key.len() == 128 && hex(salt).is_ok_and(|salt| !salt.is_empty());
    // N = 16,384, r = 16, p = 1: better-auth writes no parameters, and has had these from its beginning.
    looks_so.then(|| Work::scrypt(14, 16, 1, salt.into(), hex(key)?))
}

/// Of a power of two.
fn log2(text: &str) -> Result<u32, Rule> {
    let n = number(text)?;
    if n.is_power_of_two() { Ok(n.trailing_zeros()) } else { malformed() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Password, PasswordHash};

    const PASSWORD: &str = "correct horse Z\u{fc}rich";

    /// What other systems made of [`PASSWORD`], and the scheme.
    fn vectors() -> impl Iterator<Item = (&'static str, &'static str)> {
        let (_origin, lines) = include_str!("vectors.txt").split_once("---\n").unwrap();
        lines.lines().map(|line| line.split_once(' ').unwrap())
    }

    fn verifies(hash: &str, claimed: &str) -> bool {
        Password::claimed(claimed).verify(&PasswordHash::imported(hash).unwrap())
    }

    #[test]
    fn hashes_of_other_systems_open_to_their_password_alone() {
        assert_eq!(vectors().count(), 25);
        for (scheme, hash) in vectors() {
            let imported = PasswordHash::imported(&format!("{hash}  ")).unwrap();
            assert_eq!(imported.as_stored(), format!("{{{scheme}}}{hash}"));
            assert!(imported.is_foreign() && imported.parts().is_none(), "{hash}");
            assert!(Password::claimed(PASSWORD).verify(&imported), "{hash}");
            assert!(!Password::claimed("correct horse Z\u{fc}rick").verify(&imported), "{hash}");
        }
    }

    #[test]
    fn a_stored_hash_of_another_claviger_is_taken_as_it_is() {
        let own = Password::claimed(PASSWORD).hash(4).unwrap();
        assert!(verifies(own.as_stored(), PASSWORD) && !own.is_foreign());
        assert_eq!(PasswordHash::imported(own.as_stored()).unwrap().parts().map(|parts| parts.cost), Some(4));
        for (scheme, hash) in vectors() {
            let stored = format!("{{{scheme}}}{hash}");
            assert_eq!(PasswordHash::imported(&stored).unwrap().as_stored(), stored);
            assert!(PasswordHash::imported(&format!("{{other}}{hash}")).is_err());
        }
    }

    #[test]
    fn an_account_without_a_password_opens_to_none() {
        let none = PasswordHash::imported(PasswordHash::none().as_stored()).unwrap();
        for claimed in ["", "{none}", "none"] {
            assert!(!Password::claimed(claimed).verify(&none));
        }
        assert!(!none.is_foreign() && none.parts().is_none());
    }

    #[test]
    fn a_foreign_password_is_tried_as_typed_and_then_in_nfc() {
        // Made by Werkzeug 3.1.9 of "Zu\u{308}rich horse", and by better-auth 1.7 of "\u{fb01}ne Zu\u{308}rich" (NFKC).
        let typed =
            "pbkdf2:sha256:1000$cNSbBSob4Wf2BHu6$fd67da0523f643dd2e2101061a630cbdcdbb97eb6018c325873901e973043124";
        assert!(verifies(typed, "Zu\u{308}rich horse") && !verifies(typed, "Z\u{fc}rich horse"));
        let composed = vectors().next().unwrap().1;
        assert!(verifies(composed, "correct horse Zu\u{308}rich"));
        let better_auth = "21004ccd9dc09a3744791158a314f084:2cf8429bf0babb7d4ff3e1066086cf5ce4dd1c4bfe19a5e22ceecb265ef6\
                           25358d047f66868977616479675b1299586bb65dc32588895a3270f72646354fc12b";
        assert!(verifies(better_auth, "\u{fb01}ne Zu\u{308}rich") && verifies(better_auth, "fine Z\u{fc}rich"));
    }

    #[test]
    fn foreign_bcrypt_reads_72_bytes_as_it_did_there_and_no_nul() {
        // Made by bcrypt 4.0.1 of 80 times "x", and of "a".
        let long = "$2b$04$n70dlE2CL7nVeftTbYmsl.O2kaV2FkMg/YNOE3OO9lHcwAALyTxgO";
        assert!(verifies(long, &"x".repeat(80)) && verifies(long, &"x".repeat(72)) && !verifies(long, &"x".repeat(71)));
        let short = "$2b$04$h8jl4zHXeMzThH/huIocROmr7FH/Qw2X624DEhoQSLzX8e4UqA5Qu";
        assert!(verifies(short, "a") && !verifies(short, "a\0a") && !verifies(short, "a\0"));
    }

    #[test]
    fn what_asks_for_absurd_work_or_is_no_slow_hash_is_refused_with_the_rule_and_without_the_hash() {
        let (salt, digest) = ("c2FsdHNhbHQ", "A".repeat(43));
        let better_auth = format!("{}:{}", "0".repeat(32), "g".repeat(128));
        for (hash, rule) in [
            (format!("$2b$15${}", ".".repeat(53)), "cost outside 4 to 14"),
            (format!("$2b$03${}", ".".repeat(53)), "cost outside 4 to 14"),
            (format!("{{hmac-sha256}}$2b$17${}", ".".repeat(53)), "cost outside 4 to 16"),
            (format!("$2x$10${}", ".".repeat(53)), "broken bcrypt"),
            (format!("$2b$10${}", ".".repeat(52)), "no whole hash"),
            (format!("$2b$+9${}", ".".repeat(53)), "no whole hash"),
            (format!("$pbkdf2-sha256$5000001${salt}${digest}"), "more than 5,000,000"),
            (format!("$pbkdf2-sha256$0${salt}${digest}"), "none or more"),
            (format!("$pbkdf2-sha512$1000${salt}${digest}"), "no whole hash"),
            (format!("pbkdf2:sha256${salt}$00"), "how many iterations"),
            (format!("pbkdf2:md5:1000$salt${}", "00".repeat(16)), "other than SHA-1"),
            (format!("scrypt:262144:8:1$salt${}", "00".repeat(64)), "128 MiB"),
            (format!("scrypt:131072:8:5$salt${}", "00".repeat(64)), "N·r·p"),
            (format!("scrypt:16384:4294967295:4294967295$salt${}", "00".repeat(64)), "128 MiB"),
            (format!("scrypt:2:1:2097152$salt${}", "00".repeat(64)), "128 MiB"),
            (format!("scrypt:1000:8:1$salt${}", "00".repeat(64)), "no whole hash"),
            (format!("scrypt:1024:8:0$salt${}", "00".repeat(64)), "no whole hash"),
            (format!("$scrypt$ln=63,r=8,p=1${salt}${digest}"), "128 MiB"),
            (format!("$scrypt$ln=64,r=8,p=1${salt}${digest}"), "128 MiB"),
            (format!("$argon2id$v=19$m=131073,t=1,p=1${salt}${digest}"), "128 MiB"),
            (format!("$argon2id$v=19$m=65536,t=17,p=1${salt}${digest}"), "1 GiB"),
            (format!("$argon2id$v=19$m=65536,t=0,p=1${salt}${digest}"), "no whole hash"),
            (format!("$argon2id$v=20$m=65536,t=1,p=1${salt}${digest}"), "no whole hash"),
            (format!("$argon2id$v=19$t=1,m=65536,p=1${salt}${digest}"), "no whole hash"),
            (format!("$argon2d$v=19$m=65536,t=1,p=1${salt}${digest}"), "no scheme"),
            (format!("$pbkdf2-sha256$1000${}${digest}", "c2Fs".repeat(50)), "no whole hash"),
            ("$2b$".repeat(200), "longer than any hash"),
            ("5f4dcc3b5aa765d61d8327deb882cf99".to_owned(), "no scheme"),
            ("md5$salt$5f4dcc3b5aa765d61d8327deb882cf99".to_owned(), "no scheme"),
            ("$1$salt$qJH7.N4xYta3aEG/dfqo/0".to_owned(), "no scheme"),
            ("hunter2".to_owned(), "no scheme"),
            ("{none}x".to_owned(), "no scheme"),
            (better_auth, "no whole hash"),
        ] {
            let told = PasswordHash::imported(&hash).unwrap_err();
            assert!(told.contains(rule), "{hash}: {told}");
            assert!(!told.contains("hunter2"), "{told}");
            // A table that somebody else has written to is bound in the same way.
            for label in ["bcrypt", "passlib", "werkzeug", "django", "argon2", "better-auth"] {
                assert!(!PasswordHash::from_stored(format!("{{{label}}}{hash}")).is_foreign());
            }
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reader(text in "\\PC{0,80}") {
            drop(PasswordHash::imported(&text));
        }

        #[test]
        fn no_text_that_begins_as_a_hash_breaks_the_reader(
            index in 0..25_usize, cut in 0..200_usize, middle in "[0-9A-Za-z$,=:./+\u{e9}]{0,12}",
        ) {
            let (_, hash) = vectors().nth(index).unwrap();
            let cut = cut.min(hash.len());
            let text = format!("{}{middle}{}", &hash[..cut], &hash[hash.len().min(cut + 3)..]);
            if let Ok(hash) = PasswordHash::imported(&text) {
                prop_assert!(hash.is_foreign());
            }
        }
    }
}
