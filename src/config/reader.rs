//! Turns found values into checked ones, and notes every problem on the way instead of stopping at the first.

use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use toml::Value;
use tracing_subscriber::EnvFilter;

use super::layers::{Found, SECRET_KEYS, Values};
use super::postgres_url::PostgresUrl;
use crate::domain::origin::AllowedOrigin;
use crate::domain::secret::Secret;

/// One thing that is wrong with the configuration: which key, what value, where from, and the rule it breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem(String);

impl Problem {
    pub(super) fn of_source(origin: &str, rule: impl fmt::Display) -> Self {
        Self(format!("{origin} {rule}"))
    }

    pub(super) fn of_key(key: &str, origin: &str, rule: impl fmt::Display) -> Self {
        Self(format!("{key} (from {origin}): {rule}"))
    }

    pub(super) fn unknown_key(key: &str, origin: &str, known: &[String]) -> Self {
        let name = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
        let like = known.iter().find(|other| name(other) == name(key));
        let hint = like.map(|like| format!("; did you mean {like}?")).unwrap_or_default();
        Self(format!("{key} (from {origin}): there is no such setting{hint}"))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Everything that is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration has {} problem(s):", self.0.len())?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for Problems {}

/// Reads values by key. A bad one gives a problem and a stand-in, which is never used: any problem stops the start.
pub(super) struct Reader {
    values: Values,
    problems: Vec<Problem>,
    warnings: Vec<String>,
}

impl Reader {
    pub(super) fn new(values: Values, problems: Vec<Problem>) -> Self {
        Self { values, problems, warnings: Vec::new() }
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    pub(super) fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    pub(super) fn warn(&mut self, warning: &str) {
        self.warnings.push(warning.to_owned());
    }

    /// Key, value and origin of everything, for people.
    pub(super) fn shown(&self) -> Vec<(String, String, String)> {
        let row = |(key, found): (&String, &Found)| (key.clone(), shown_value(key, &found.value), found.origin.clone());
        self.values.iter().map(row).collect()
    }

    pub(super) fn problem(&mut self, key: &str, rule: &str) {
        let origin = self.values.get(key).map_or("default", |found| &found.origin);
        self.problems.push(Problem::of_key(key, origin, rule));
    }

    fn bad_value(&mut self, key: &str, rule: &str) {
        let shown = self.values.get(key).map(|found| shown_value(key, &found.value)).unwrap_or_default();
        self.problem(key, &format!("{shown} is not {rule}"));
    }

    fn raw(&self, key: &str) -> String {
        match self.values.get(key).map(|found| &found.value) {
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => String::new(),
        }
    }

    /// Any text but an empty one.
    pub(super) fn text(&mut self, key: &str) -> String {
        let text = self.raw(key);
        if text.is_empty() {
            self.problem(key, "must not be empty");
        }
        text
    }

    /// A text; none if it is empty.
    pub(super) fn optional_text(&mut self, key: &str) -> Option<String> {
        Some(self.raw(key)).filter(|text| !text.is_empty())
    }

    /// A text that is read by `parse`, which says the rule that a bad one breaks.
    pub(super) fn parsed<T>(&mut self, key: &str, parse: impl Fn(&str) -> Result<T, &'static str>) -> Option<T> {
        let text = self.raw(key);
        parse(&text).map_err(|rule| self.problem(key, &format!("{text:?} {rule}"))).ok()
    }

    /// Texts from an array, or from one text with commas between them.
    fn list(&self, key: &str) -> Vec<String> {
        let item = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let items = match self.values.get(key).map(|found| &found.value) {
            Some(Value::Array(values)) => values.iter().map(item).collect(),
            Some(value) => item(value).split(',').map(|text| text.trim().to_owned()).collect(),
            None => Vec::new(),
        };
        items.into_iter().filter(|text| !text.is_empty()).collect()
    }

    /// A list whose items are read by `parse`, which says the rule that a bad one breaks.
    pub(super) fn list_of<T>(&mut self, key: &str, parse: impl Fn(&str) -> Result<T, &'static str>) -> Vec<T> {
        let mut good = Vec::new();
        for text in self.list(key) {
            match parse(&text) {
                Ok(item) => good.push(item),
                Err(rule) => self.problem(key, &format!("{text:?} {rule}")),
            }
        }
        good
    }

    /// The address under which people reach the service; none if it is not said.
    pub(super) fn public_url(&mut self, key: &str) -> Option<String> {
        let text = self.raw(key).to_ascii_lowercase();
        if text.is_empty() {
            return None;
        }
        // An origin, and nothing behind it: the paths are ours.
        let origin = AllowedOrigin::parse(text.trim_end_matches('/')).ok();
        if origin.is_none_or(|_| text.contains('*')) {
            self.bad_value(key, "an address such as https://auth.example.com");
        }
        Some(text)
    }

    /// An address and a port to listen on; none if the text is empty.
    pub(super) fn socket_address(&mut self, key: &str) -> Option<SocketAddr> {
        let text = self.raw(key);
        if text.is_empty() {
            return None;
        }
        let address = text.parse();
        address
            .map_err(|_no_address| self.bad_value(key, "an address and a port, such as 127.0.0.1:9464 or [::1]:9464"))
            .ok()
    }

    /// The text of the file that is named; none if none is.
    pub(super) fn file(&mut self, key: &str) -> Option<String> {
        let path = self.raw(key);
        if path.is_empty() {
            return None;
        }
        let read = std::fs::read_to_string(&path);
        read.map_err(|error| self.problem(key, &format!("{path} cannot be read: {error}"))).ok()
    }

    /// The certificates, as PEM, of the file that is named; none if none is.
    pub(super) fn certificates(&mut self, key: &str) -> Option<String> {
        let pem = self.file(key)?;
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
        if certificates.is_ok_and(|certificates| !certificates.is_empty()) {
            return Some(pem);
        }
        self.problem(key, "holds no certificates in PEM form");
        None
    }

    pub(super) fn boolean(&mut self, key: &str) -> bool {
        let value = self.raw(key).parse();
        value.unwrap_or_else(|_| {
            self.bad_value(key, "true or false");
            false
        })
    }

    pub(super) fn number<T>(&mut self, key: &str, range: RangeInclusive<T>) -> T
    where
        T: FromStr + PartialOrd + fmt::Display + Copy,
    {
        match self.raw(key).parse() {
            Ok(number) if range.contains(&number) => number,
            _ => {
                self.bad_value(key, &format!("a whole number from {} to {}", range.start(), range.end()));
                *range.start()
            }
        }
    }

    /// From 0 to 1.
    pub(super) fn ratio(&mut self, key: &str) -> f64 {
        let ratio = self.raw(key).parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
        ratio.unwrap_or_else(|| {
            self.bad_value(key, "a number from 0 to 1");
            0.0
        })
    }

    pub(super) fn duration(&mut self, key: &str, range: RangeInclusive<Duration>) -> Duration {
        match parse_duration(&self.raw(key)) {
            Some(duration) if range.contains(&duration) => duration,
            Some(_) => {
                let rule = format!("between {} and {}", show_duration(*range.start()), show_duration(*range.end()));
                self.bad_value(key, &rule);
                *range.start()
            }
            None => {
                self.bad_value(key, "a duration such as 30s, 15m, 12h or 7d");
                *range.start()
            }
        }
    }

    pub(super) fn one_of<T: Copy>(&mut self, key: &str, choices: &[(&str, T)]) -> Option<T> {
        let text = self.raw(key);
        let choice = choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
        if choice.is_none() {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            self.bad_value(key, &format!("one of {}", names.join(", ")));
        }
        choice
    }

    pub(super) fn log_filter(&mut self, key: &str) -> String {
        let text = self.raw(key);
        if text.is_empty() || EnvFilter::try_new(&text).is_err() {
            self.bad_value(key, "a level or a filter such as info,claviger::store=debug");
        }
        text
    }

    /// A setting that must be written as a text, so that a list is not taken for one long secret.
    fn only_text(&mut self, key: &str) -> Option<String> {
        let found = self.values.get(key).map(|found| found.value.as_str().map(str::to_owned));
        if found == Some(None) {
            self.problem(key, "must be a text in quotation marks");
        }
        found.flatten()
    }

    pub(super) fn secrets(&mut self, key: &str) -> Option<Vec<Secret>> {
        let text = self.only_text(key)?;
        if text.is_empty() {
            self.problem(key, "is missing; make one with `claviger keys new`");
            return None;
        }
        match Secret::parse_list(&text) {
            Ok(secrets) => Some(secrets),
            Err(weaknesses) => {
                for weakness in &weaknesses {
                    self.problem(key, weakness);
                }
                None
            }
        }
    }

    pub(super) fn postgres_url(&mut self, key: &str) -> Option<PostgresUrl> {
        let text = self.only_text(key)?;
        if text.is_empty() {
            self.problem(key, "is missing; set DATABASE_URL=postgres://user:password@host:5432/name");
            return None;
        }
        match PostgresUrl::parse(&text) {
            Ok(url) => Some(url),
            Err(rule) => {
                self.problem(key, &rule);
                None
            }
        }
    }
}

fn shown_value(key: &str, value: &Value) -> String {
    if value.as_str() == Some("") {
        "(empty)".to_owned()
    } else if SECRET_KEYS.contains(&key) {
        "(secret)".to_owned()
    } else {
        value.to_string()
    }
}

/// `30s`, `15m`, `12h`, `7d`; a bare 0 needs no unit.
fn parse_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return None,
    };
    let digits = digits.bytes().all(|b| b.is_ascii_digit()).then_some(digits)?;
    digits.parse::<u64>().ok()?.checked_mul(seconds).map(Duration::from_secs)
}

fn show_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let units = [(24 * 60 * 60, "d"), (60 * 60, "h"), (60, "m")];
    let whole = units.into_iter().find(|(size, _)| seconds > 0 && seconds.is_multiple_of(*size));
    whole.map_or(format!("{seconds}s"), |(size, unit)| format!("{}{unit}", seconds / size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        let parsed = ["0", "0s", "90s", "15m", "12h", "7d"].map(|text| parse_duration(text).map(|d| d.as_secs()));
        assert_eq!(parsed, [Some(0), Some(0), Some(90), Some(900), Some(43_200), Some(604_800)]);
        for text in
            ["", "s", "15", "15 m", "-1s", "+1s", "1.5h", "15M", "é", "99999999999999999999s", "999999999999999999d"]
        {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn durations_are_shown_in_the_largest_whole_unit() {
        let shown = [0, 59, 60, 5400, 86_400].map(|s| show_duration(Duration::from_secs(s)));
        assert_eq!(shown, ["0s", "59s", "1m", "90m", "1d"]);
    }
}
