//! Configuration: layers, strictness, secrets.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use claviger::config::{self, Environment, Settings};

use crate::support::{JWT_SECRET, REFRESH_SECRET, environment};

fn with(changes: &[(&str, &str)]) -> Environment {
    let mut environment = environment("postgres://db.example/claviger");
    environment.extend(changes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    environment
}

fn load(file: Option<&Path>, environment: &Environment) -> Settings {
    config::load(file, environment, &BTreeMap::new()).unwrap().settings
}

fn problems(changes: &[(&str, &str)]) -> String {
    config::load(None, &with(changes), &BTreeMap::new()).unwrap_err().to_string()
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

#[test]
fn the_environment_covers_the_file_and_the_file_covers_the_defaults() {
    let file = file("[access_token]\nttl = \"20m\"\naudience = \"shop\"\n[database]\npool_size = 7\n");
    let settings = load(Some(file.path()), &with(&[("CLAVIGER__ACCESS_TOKEN__TTL", "900s")]));
    assert_eq!(settings.access_token.ttl, Duration::from_mins(15));
    assert_eq!((settings.access_token.audience.as_str(), settings.database.pool_size), ("shop", 7));
    assert_eq!(settings.sessions.grace, Duration::from_secs(30));
    assert_eq!(settings.sessions.idle_ttl, Duration::from_hours(168));
    assert_eq!(settings.sessions.absolute_ttl, Duration::from_hours(720));
    assert_eq!(load(None, &with(&[])).access_token.ttl, Duration::from_mins(10));
}

#[test]
fn all_problems_are_told_at_once_with_key_value_and_rule() {
    let told = problems(&[
        ("CLAVIGER__ACCESS_TOKEN__TTL", "10"),
        ("CLAVIGER__REFRESH_TOKEN__GRACE", "61s"),
        ("CLAVIGER__PASSWORD__BCRYPT_COST", "three"),
        ("CLAVIGER__DATABASE__POOL_SIZE", "0"),
        ("CLAVIGER__DATABASE__MIGRATE", "yes"),
        ("CLAVIGER__LOG__FORMAT", "xml"),
        ("CLAVIGER__TYPO__TTL", "1s"),
        ("RUST_LOG", "info,=,"),
        ("PORT", "65536"),
        ("CLAVIGER__METRICS__ADDRESS", "9464"),
        ("DATABASE_URL", "mysql://u:hunter2@h/d"),
        ("JWT_SECRET", "short"),
        ("REFRESH_SECRET", ""),
    ]);
    for expected in [
        "has 13 problem(s)",
        "metrics.address (from CLAVIGER__METRICS__ADDRESS): \"9464\" is not an address and a port",
        "access_token.ttl (from CLAVIGER__ACCESS_TOKEN__TTL): \"10\" is not a duration",
        "refresh_token.grace (from CLAVIGER__REFRESH_TOKEN__GRACE): \"61s\" is not between 0s and 1m",
        "password.bcrypt_cost (from CLAVIGER__PASSWORD__BCRYPT_COST): \"three\" is not a whole number from 4 to 16",
        "database.pool_size (from CLAVIGER__DATABASE__POOL_SIZE): \"0\" is not a whole number from 1 to 1000",
        "database.migrate (from CLAVIGER__DATABASE__MIGRATE): \"yes\" is not true or false",
        "log.format (from CLAVIGER__LOG__FORMAT): \"xml\" is not one of auto, pretty, json",
        "typo.ttl (from CLAVIGER__TYPO__TTL): there is no such setting; did you mean access_token.ttl?",
        "log.level (from RUST_LOG)",
        "server.port (from PORT): \"65536\" is not a whole number from 0 to 65535",
        "database.url (from DATABASE_URL): must begin with postgres://",
        "access_token.secrets (from JWT_SECRET): secret 1 is shorter than 32 bytes",
        "refresh_token.keys (from default): is missing",
    ] {
        assert!(told.contains(expected), "{expected}\nis not in\n{told}");
    }
    assert!(!told.contains("hunter2"));
}

#[test]
fn secrets_have_no_default() {
    let told = config::load(None, &BTreeMap::new(), &BTreeMap::new()).unwrap_err().to_string();
    for key in ["database.url", "access_token.secrets", "refresh_token.keys"] {
        assert!(told.contains(&format!("{key} (from default): is missing")), "{told}");
    }
}

#[test]
fn the_refresh_secret_must_not_be_the_one_that_apis_hold() {
    assert!(problems(&[("REFRESH_SECRET", JWT_SECRET)]).contains("must not repeat a secret of access_token.secrets"));
    let list = format!("new:{REFRESH_SECRET},old:{JWT_SECRET}");
    assert!(problems(&[("REFRESH_SECRET", &list)]).contains("must not repeat"));
}

#[test]
fn secrets_may_come_from_files() {
    let (jwt, url) = (file(&format!("{JWT_SECRET}\n")), file("postgres://u:hunter2@filed.example/d\r\n"));
    let mut environment =
        with(&[("JWT_SECRET_FILE", jwt.path().to_str().unwrap()), ("DATABASE_URL_FILE", url.path().to_str().unwrap())]);
    environment.remove("JWT_SECRET");
    environment.remove("DATABASE_URL");
    let settings = load(None, &environment);
    assert_eq!(settings.access_token_secrets[0].bytes(), JWT_SECRET.as_bytes());
    assert!(settings.database.url.to_string().contains("filed.example"));

    let toml = file(&format!("[access_token]\nsecrets_file = {:?}\n", jwt.path()));
    environment.remove("JWT_SECRET_FILE");
    assert_eq!(load(Some(toml.path()), &environment).access_token_secrets[0].bytes(), JWT_SECRET.as_bytes());

    let told = problems(&[("JWT_SECRET_FILE", jwt.path().to_str().unwrap()), ("REFRESH_SECRET_FILE", "/no/such/file")]);
    assert!(told.contains("is given twice, as a value and as a file"), "{told}");
    assert!(told.contains("/no/such/file") && told.contains("cannot be read"), "{told}");
}

#[test]
fn a_database_may_be_given_in_parts() {
    let mut environment =
        with(&[("POSTGRES_HOST", "parts.example"), ("POSTGRES_PASSWORD", "hunter2"), ("POSTGRES_DB", "app")]);
    let url = |environment: &Environment| load(None, environment).database.url.to_string();
    assert_eq!(url(&environment), "host db.example port 5432 user (the system's user) database claviger");
    environment.insert("DATABASE_URL".into(), String::new());
    assert_eq!(url(&environment), "host parts.example port 5432 user postgres database app");
    environment.insert("POSTGRES_PASSWORD".into(), String::new());
    environment.insert("POSTGRES_PASSWORD_FILE".into(), "/no/such/file".into());
    let told = config::load(None, &environment, &BTreeMap::new()).unwrap_err().to_string();
    assert!(told.contains("POSTGRES_PASSWORD_FILE") && told.contains("cannot be read"), "{told}");
}

#[test]
fn a_broken_file_is_told_without_its_text() {
    let broken = file("[access_token]\nsecrets = \"hunter2\nttl = \"1m\"\n");
    let told = config::load(Some(broken.path()), &with(&[]), &BTreeMap::new()).unwrap_err().to_string();
    assert!(told.contains("is not TOML near line") && !told.contains("hunter2"), "{told}");
    let missing = config::load(Some(Path::new("/no/such/file.toml")), &with(&[]), &BTreeMap::new()).unwrap_err();
    assert!(missing.to_string().contains("/no/such/file.toml cannot be read"), "{missing}");
}

#[test]
fn a_list_of_secrets_is_a_text_too() {
    let list = file(&format!("[refresh_token]\nkeys = [\"{REFRESH_SECRET}\"]\n"));
    let mut environment = with(&[]);
    environment.remove("REFRESH_SECRET");
    let told = config::load(Some(list.path()), &environment, &BTreeMap::new()).unwrap_err().to_string();
    assert!(told.contains("must be a text in quotation marks") && !told.contains(REFRESH_SECRET), "{told}");
}

#[test]
fn lists_are_written_with_commas_in_the_environment_and_as_arrays_in_a_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let toml =
        "[cors]\nallowed_origins = [\"https://a.example\", \"https://*.b.example\"]\n[server]\ntrusted_proxies = []";
    std::fs::write(file.path(), toml).unwrap();
    let from_file = config::load(Some(file.path()), &with(&[]), &BTreeMap::new()).unwrap().settings;
    let environment = with(&[
        ("CLAVIGER__CORS__ALLOWED_ORIGINS", "https://a.example , https://*.b.example"),
        ("CLAVIGER__SERVER__TRUSTED_PROXIES", "10.0.0.0/8,::1"),
    ]);
    let from_environment = config::load(None, &environment, &BTreeMap::new()).unwrap().settings;

    assert_eq!(from_file.allowed_origins, from_environment.allowed_origins);
    assert_eq!(from_file.allowed_origins.len(), 2);
    assert!(from_file.server.trusted_proxies.is_empty());
    let networks = from_environment.server.trusted_proxies.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(networks, ["10.0.0.0/8", "::1/128"]);
}

#[test]
fn each_bad_item_of_a_list_is_told_with_the_rule_it_breaks() {
    let environment = with(&[
        ("CLAVIGER__CORS__ALLOWED_ORIGINS", "*,https://good.example,https://bad.example/"),
        ("CLAVIGER__SERVER__TRUSTED_PROXIES", "10.0.0.0/33,proxy.example,::ffff:10.0.0.0/104"),
        ("CLAVIGER__SESSIONS__KEPT_AFTER_END", "1d"),
        ("CLAVIGER__SERVER__PUBLIC_URL", "auth.example.com"),
        ("CLAVIGER__SERVER__FORWARDED_HEADER", "x-real-ip"),
        ("CLAVIGER__EVENTS__KEPT", "6d"),
        ("CLAVIGER__SESSIONS__MAX_PER_USER", "0"),
        ("CLAVIGER__COOKIE__NAME", "refresh token"),
    ]);
    let told = config::load(None, &environment, &BTreeMap::new()).unwrap_err().to_string();
    for part in [
        "11 problem(s)",
        "cookie.name (from CLAVIGER__COOKIE__NAME): \"refresh token\" is not a cookie name",
        "\"*\" allows every page",
        "\"https://bad.example/\" must end after the host",
        "\"10.0.0.0/33\" is no network",
        "\"proxy.example\" is no network",
        "\"::ffff:10.0.0.0/104\" must be written as an IPv4 network",
        "sessions.kept_after_end",
        "server.public_url (from CLAVIGER__SERVER__PUBLIC_URL): \"auth.example.com\" is not an address",
        "server.forwarded_header",
        "events.kept",
        "sessions.max_per_user",
    ] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
}

#[test]
fn pages_by_plain_http_and_proxies_everywhere_are_doubtful() {
    let warnings =
        |settings: &[(&str, &str)]| config::load(None, &with(settings), &BTreeMap::new()).unwrap().warnings.join("; ");
    let told = warnings(&[("CLAVIGER__CORS__ALLOWED_ORIGINS", "http://app.example.com")]);
    assert!(told.contains("cors.allowed_origins has a page that comes by plain HTTP"), "{told}");
    let exposed = [("CLAVIGER__COOKIE__SECURE", "false"), ("CLAVIGER__SERVER__PUBLIC_URL", "HTTPS://auth.example.com")];
    assert!(warnings(&exposed).contains("cookie.secure is false though server.public_url is https"));
    let fine = [("CLAVIGER__COOKIE__SECURE", "false"), ("CLAVIGER__CORS__ALLOWED_ORIGINS", "http://localhost:5173")];
    assert!(!warnings(&fine).contains("cookie.secure") && !warnings(&fine).contains("cors."));
    for (networks, everybody) in [("10.0.0.0/8", false), ("10.0.0.0/8,::/0", true), ("0.0.0.0/0", true)] {
        let told = warnings(&[("CLAVIGER__SERVER__TRUSTED_PROXIES", networks)]);
        assert_eq!(told.contains("trusts everybody"), everybody, "{told}");
    }
}

#[test]
fn a_schema_that_cannot_be_used_stops_the_start() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let told = |path: &str| {
        let problems = config::load(None, &with(&[("CLAVIGER__PROFILE__SCHEMA", path)]), &BTreeMap::new()).unwrap_err();
        problems.to_string()
    };
    assert!(told("/nowhere/schema.json").contains("cannot be read"));
    let path = file.path().to_str().unwrap().to_owned();
    assert!(told(&path).contains("is not JSON"));
    file.write_all(br#"{"type": "thing"}"#).unwrap();
    assert!(told(&path).contains("is no JSON Schema"), "{}", told(&path));
}

#[test]
fn a_profile_claim_that_means_something_already_stops_the_start() {
    let told = problems(&[("CLAVIGER__ACCESS_TOKEN__PROFILE_CLAIMS", "plan,role,Sub,https://hasura.io/jwt/claims")]);
    for name in ["\"role\" is a claim", "\"Sub\" is a claim", "\"https://hasura.io/jwt/claims\" is no name"] {
        assert!(told.contains("access_token.profile_claims") && told.contains(name), "{told}");
    }
    assert!(!told.contains("\"plan\""), "{told}");
    assert!(problems(&[("CLAVIGER__ACCESS_TOKEN__PROFILE_CLAIMS", "plan,plan")]).contains("twice"));
}

#[test]
fn no_secret_is_shown() {
    let loaded = config::load(None, &with(&[("DATABASE_URL", "postgres://u:hunter2@h/d")]), &BTreeMap::new()).unwrap();
    let shown = format!("{loaded:?}");
    assert!(![JWT_SECRET, REFRESH_SECRET, "hunter2"].iter().any(|secret| shown.contains(secret)), "{shown}");
}

#[test]
fn traces_go_where_the_variables_of_opentelemetry_say_and_nothing_secret_is_shown() {
    assert!(load(None, &with(&[])).traces.is_none());
    let environment = with(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://otlp.example.com/otlp"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=hunter2"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test"),
        ("OTEL_SERVICE_NAME", "login"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
    ]);
    let loaded = config::load(None, &environment, &BTreeMap::new()).unwrap();
    assert!(!format!("{loaded:?}").contains("hunter2") && !loaded.warnings.concat().contains("traces"));
    let traces = loaded.settings.traces.unwrap();
    assert_eq!(
        (traces.endpoint.as_str(), traces.service_name.as_str()),
        ("https://otlp.example.com/otlp/v1/traces", "login")
    );
    assert_eq!((traces.sample_ratio, traces.resource.len(), traces.headers.len()), (0.25, 1, 1));

    let told = problems(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "hunter2"),
        ("OTEL_TRACES_SAMPLER_ARG", "1.5"),
        ("CLAVIGER__TRACES__RESOURCE", "production"),
        ("CLAVIGER__TRACES__SERVICE_NAME", ""),
    ]);
    for expected in [
        "has 5 problem(s)",
        "traces.endpoint (from OTEL_EXPORTER_OTLP_ENDPOINT): must be an address such as http://127.0.0.1:4318",
        "traces.headers (from OTEL_EXPORTER_OTLP_HEADERS): must be like name=value",
        "traces.sample_ratio (from OTEL_TRACES_SAMPLER_ARG): \"1.5\" is not a number from 0 to 1",
        "traces.resource (from CLAVIGER__TRACES__RESOURCE): must be like name=value",
        "traces.service_name (from CLAVIGER__TRACES__SERVICE_NAME): must not be empty",
    ] {
        assert!(told.contains(expected), "{expected}\nis not in\n{told}");
    }
    assert!(!told.contains("hunter2"));
    let exposed = with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://h:4318"), ("OTEL_EXPORTER_OTLP_HEADERS", "a=b")]);
    let warnings = config::load(None, &exposed, &BTreeMap::new()).unwrap().warnings;
    assert!(warnings.concat().contains("traces.headers travel where others can read them"), "{warnings:?}");
}

const MAIL: [(&str, &str); 4] = [
    ("SMTP_URL", "smtp://ada:hunter2@mail.example.com"),
    ("CLAVIGER__MAIL__FROM", "Shop <shop@example.com>"),
    ("CLAVIGER__MAIL__VERIFY_LINK", "https://app.example.com/verify?token={token}"),
    ("CLAVIGER__MAIL__RESET_LINK", "myapp://reset#{token}"),
];

#[test]
fn mail_is_off_until_a_server_is_named_and_then_needs_a_sender_and_pages() {
    assert!(load(None, &with(&[])).mail.is_none());
    let mail = load(None, &with(&MAIL)).mail.unwrap();
    assert_eq!(mail.server.to_string(), "host mail.example.com port 587");
    assert!(!format!("{mail:?}").contains("hunter2"));

    let told = problems(&MAIL[..1]);
    for key in ["mail.from", "mail.verify_link", "mail.reset_link"] {
        assert!(told.contains(&format!("{key} (from default): must not be empty")), "{told}");
    }
    let told = problems(&[("CLAVIGER__MAIL__REQUIRE_VERIFIED_EMAIL", "true")]);
    assert!(told.contains("mail.require_verified_email") && told.contains("needs mail.url"), "{told}");
}

#[test]
fn everything_that_is_wrong_about_mail_is_told_at_once_without_the_password() {
    let (folder, empty) = (tempfile::tempdir().unwrap(), file(""));
    std::fs::write(folder.path().join("verify_email.txt"), "Hello").unwrap();
    std::fs::write(folder.path().join("newsletter.txt"), "Subject: Buy\n").unwrap();
    let told = problems(&[
        ("SMTP_URL", "smtp://ada:hunter2@mail.example.com?tls=maybe"),
        ("CLAVIGER__MAIL__FROM", "nobody"),
        ("CLAVIGER__MAIL__VERIFY_LINK", "https://app.example.com/verify"),
        ("CLAVIGER__MAIL__RESET_LINK", "{token}"),
        ("CLAVIGER__MAIL__CA_FILE", empty.path().to_str().unwrap()),
        ("CLAVIGER__MAIL__TEMPLATES", folder.path().to_str().unwrap()),
        ("CLAVIGER__MAIL__RESET_TTL", "25h"),
    ]);
    for expected in [
        "has 7 problem(s)",
        "mail.url (from SMTP_URL): may have the option tls=required or tls=none",
        "mail.from (from CLAVIGER__MAIL__FROM): is no sender",
        "mail.verify_link (from CLAVIGER__MAIL__VERIFY_LINK): must be a page with {token}",
        "mail.reset_link (from CLAVIGER__MAIL__RESET_LINK): must be a page with {token}",
        "mail.ca_file (from CLAVIGER__MAIL__CA_FILE): holds no certificates",
        "mail.templates (from CLAVIGER__MAIL__TEMPLATES): newsletter.txt is the template of no mail",
        "mail.reset_ttl (from CLAVIGER__MAIL__RESET_TTL): \"25h\" is not between 1m and 1d",
    ] {
        assert!(told.contains(expected), "{expected}\nis not in\n{told}");
    }
    assert!(!told.contains("hunter2"));
}

#[test]
fn a_password_for_mail_that_others_could_read_is_warned_of() {
    let mut settings = MAIL;
    settings[0].1 = "smtp://ada:hunter2@mail.example.com?tls=none";
    let warnings =
        |settings: &[(&str, &str)]| config::load(None, &with(settings), &BTreeMap::new()).unwrap().warnings.join("; ");
    assert!(warnings(&settings).contains("mail.url sends its password where others can read it"));
    settings[0].1 = "smtp://ada:hunter2@localhost";
    assert!(!warnings(&settings).contains("mail."));
}
