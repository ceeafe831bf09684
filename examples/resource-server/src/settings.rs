//! Settings from the environment.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use claviger_verifier::{Follower, Gate, Policy, Revocations, Secrets, Verifier};

/// What the API needs to know.
#[derive(Debug)]
pub struct Settings {
    /// Decides whose tokens are good.
    pub gate: Gate,
    /// Hears which sessions ended.
    pub follower: Follower,
    /// Origins of pages that may call.
    pub allowed_origins: Vec<String>,
    /// Where to listen.
    pub port: u16,
}

/// All that is wrong with the settings, a sentence each. Shows no secret.
#[derive(Debug)]
pub struct Problems(pub Vec<String>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for Problems {}

impl Settings {
    /// Reads `JWT_SECRET` or `JWT_SECRET_FILE`, `AUTH_URL`, `CLIENT_ID`, `CLIENT_SECRET`, `ALLOWED_ORIGINS` and `PORT`.
    ///
    /// # Errors
    /// [`Problems`], all at once.
    pub fn read(environment: &BTreeMap<String, String>) -> Result<Self, Problems> {
        let revocations = Revocations::new();
        let mut problems = Vec::new();
        let mut good = |problem: String| problems.push(problem);
        let secrets = secrets(environment).map_err(&mut good).ok();
        let follower = follower(environment, &revocations).map_err(|all| all.into_iter().for_each(&mut good)).ok();
        let allowed_origins = allowed_origins(environment).map_err(&mut good).ok();
        let port = port(environment).map_err(&mut good).ok();
        let verifier = secrets.and_then(|secrets| {
            Verifier::new(&Policy::new(secrets))
                .map_err(|error| good(format!("JWT_SECRET cannot be used: {error}")))
                .ok()
        });
        match (verifier, follower, allowed_origins, port) {
            (Some(verifier), Some(follower), Some(allowed_origins), Some(port)) => {
                // Longer, and somebody may keep us from hearing that a stolen token was signed out.
                let gate = Gate::new(verifier, revocations).max_age(Duration::from_mins(2));
                Ok(Self { gate, follower, allowed_origins, port })
            }
            _ => Err(Problems(problems)),
        }
    }
}

/// What is empty counts as not there.
fn given<'a>(environment: &'a BTreeMap<String, String>, name: &str) -> Option<&'a str> {
    environment.get(name).map(String::as_str).filter(|value| !value.is_empty())
}

fn secrets(environment: &BTreeMap<String, String>) -> Result<Secrets, String> {
    let (name, text) = match (given(environment, "JWT_SECRET"), given(environment, "JWT_SECRET_FILE")) {
        (Some(_), Some(_)) => return Err("JWT_SECRET and JWT_SECRET_FILE are both set; set one".to_owned()),
        (Some(text), None) => ("JWT_SECRET", text.to_owned()),
        (None, Some(path)) => {
            let text =
                std::fs::read_to_string(path).map_err(|error| format!("JWT_SECRET_FILE names {path}: {error}"))?;
            ("JWT_SECRET_FILE", text.trim_end_matches(['\r', '\n']).to_owned())
        }
        (None, None) => {
            return Err("JWT_SECRET is missing: the service's own; or name its file in JWT_SECRET_FILE".to_owned());
        }
    };
    Secrets::parse(&text).map_err(|bad| format!("{name}: {bad}"))
}

fn follower(environment: &BTreeMap<String, String>, revocations: &Revocations) -> Result<Follower, Vec<String>> {
    let hint = "`claviger clients add NAME --scope revocations:read` shows it";
    let named = |name: &str, what: &str| given(environment, name).ok_or_else(|| format!("{name} is missing: {what}"));
    let found = [
        named("AUTH_URL", "where the service is, for instance http://127.0.0.1:8080"),
        named("CLIENT_ID", hint),
        named("CLIENT_SECRET", hint),
    ];
    match found {
        [Ok(address), Ok(id), Ok(secret)] => {
            Follower::new(address, id, secret, revocations.clone()).map_err(|error| vec![format!("AUTH_URL: {error}")])
        }
        found => Err(found.into_iter().filter_map(Result::err).collect()),
    }
}

fn allowed_origins(environment: &BTreeMap<String, String>) -> Result<Vec<String>, String> {
    let origins = given(environment, "ALLOWED_ORIGINS").unwrap_or_default().split(',').map(str::trim);
    let origins: Vec<String> = origins.filter(|origin| !origin.is_empty()).map(str::to_owned).collect();
    let host = |origin: &str| Some(origin.strip_prefix("https://").or(origin.strip_prefix("http://"))?.to_owned());
    let is_host = |host: &str| {
        host.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '[')
            && host.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.:[]".contains(&b))
    };
    match origins.iter().find(|origin| !host(origin).is_some_and(|host| is_host(&host))) {
        Some(bad) => Err(format!("ALLOWED_ORIGINS: {bad} is no origin such as http://localhost:5173, without a path")),
        None => Ok(origins),
    }
}

fn port(environment: &BTreeMap<String, String>) -> Result<u16, String> {
    let port = given(environment, "PORT").unwrap_or("9000");
    port.parse().map_err(|_other| format!("PORT: {port} is no port"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "q7Zr0J4m8VtX2cLwN9sKfB5yHdP1gUeA6TiRoWk3";

    fn read(variables: &[(&str, &str)]) -> Result<Settings, Problems> {
        let good = [
            ("JWT_SECRET", SECRET),
            ("AUTH_URL", "http://127.0.0.1:8080"),
            ("CLIENT_ID", "id"),
            ("CLIENT_SECRET", "hidden"),
        ];
        let all = good.iter().chain(variables).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Settings::read(&all.collect())
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        let settings = read(&[]).unwrap();
        assert_eq!((settings.port, settings.allowed_origins.len()), (9000, 0));
        let settings =
            read(&[("PORT", "80"), ("ALLOWED_ORIGINS", "https://a.example, http://localhost:5173,")]).unwrap();
        assert_eq!(
            (settings.port, settings.allowed_origins),
            (80, vec!["https://a.example".into(), "http://localhost:5173".into()])
        );
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let Problems(problems) = Settings::read(&BTreeMap::new()).unwrap_err();
        for (problem, name) in problems.iter().zip(["JWT_SECRET", "AUTH_URL", "CLIENT_ID", "CLIENT_SECRET"]) {
            assert!(problem.starts_with(&format!("{name} is missing: ")), "{problem}");
        }
        assert_eq!(problems.len(), 4);
        let bad = [("JWT_SECRET", "short"), ("AUTH_URL", "here"), ("ALLOWED_ORIGINS", "*"), ("PORT", "99999")];
        assert_eq!(read(&bad).unwrap_err().0.len(), 4);
    }

    #[test]
    fn an_origin_is_scheme_and_host() {
        for bad in
            ["*", "null", "localhost", "https://", "https://a.example/", "https://*.a.example", "ftp://a.example"]
        {
            assert!(read(&[("ALLOWED_ORIGINS", bad)]).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_secret_may_come_from_a_file_and_not_from_two_places() {
        let both = read(&[("JWT_SECRET_FILE", "/nowhere")]).unwrap_err().to_string();
        assert!(both.contains("both"), "{both}");
        let missing = read(&[("JWT_SECRET", ""), ("JWT_SECRET_FILE", "/nowhere")]).unwrap_err().to_string();
        assert!(missing.starts_with("JWT_SECRET_FILE names /nowhere: "), "{missing}");
    }

    #[test]
    fn nothing_shows_a_secret() {
        let bad = read(&[("JWT_SECRET", &SECRET[..20]), ("AUTH_URL", "here")]).unwrap_err();
        assert!(!format!("{bad} {bad:?}").contains(&SECRET[..20]));
        let shown = format!("{:?}", read(&[]).unwrap());
        assert!(!shown.contains(SECRET) && !shown.contains("hidden"), "{shown}");
    }
}
