//! The section `traces`: where traces go, and which.

use std::fmt;
use std::net::IpAddr;

use reqwest::Url;
use reqwest::header::{HeaderName, HeaderValue};
use secrecy::SecretString;

use super::postgres_url::percent_decode;
use super::reader::Reader;

/// Where traces go, and which.
pub struct Traces {
    /// What takes them, by OTLP over HTTP.
    pub endpoint: String,
    /// What it is told besides, to know us by. Each value is one that a header may have.
    pub headers: Vec<(HeaderName, SecretString)>,
    /// The authorities that may vouch for it, as PEM; those of the system if none are named.
    pub authorities: Option<String>,
    /// From 0 to 1: of the traces that begin here, so many are told.
    pub sample_ratio: f64,
    /// Who we are in them.
    pub service_name: String,
    /// What else is said of this process.
    pub resource: Vec<(String, String)>,
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Traces({})", self.endpoint)
    }
}

/// None where traces go nowhere. Problems are noted by the reader.
pub(super) fn read_traces(r: &mut Reader) -> Option<Traces> {
    let sample_ratio = r.ratio("traces.sample_ratio");
    let service_name = r.text("traces.service_name");
    let resource = r.optional_text("traces.resource").map_or(Some(Vec::new()), |text| pairs(&text));
    if resource.is_none() {
        r.problem("traces.resource", PAIRS);
    }
    let headers = r.optional_text("traces.headers");
    let headers = headers.map_or(Some(Vec::new()), |text| parse_headers(&text));
    if headers.is_none() {
        r.problem("traces.headers", PAIRS);
    }
    let authorities = r.certificates("traces.ca_file");
    let base = r.optional_text("traces.endpoint")?;
    let Some((endpoint, is_exposed)) = parse_endpoint(&base) else {
        r.problem("traces.endpoint", "must be an address such as http://127.0.0.1:4318, without a user or a query");
        return None;
    };
    if is_exposed && headers.as_ref().is_some_and(|headers| !headers.is_empty()) {
        r.warn("traces.endpoint is not https: traces.headers travel where others can read them");
    }
    Some(Traces { endpoint, headers: headers?, authorities, sample_ratio, service_name, resource: resource? })
}

const PAIRS: &str = "must be like name=value,name=value, with %2C for a comma in a value";

/// `a=1,b=2`, as the variables of OpenTelemetry have it.
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let (name, value) = (name.trim(), percent_decode(value.trim())?);
        (!name.is_empty()).then(|| (name.to_owned(), value))
    });
    pairs.collect()
}

fn parse_headers(text: &str) -> Option<Vec<(HeaderName, SecretString)>> {
    let headers = pairs(text)?.into_iter().map(|(name, value)| {
        HeaderValue::from_str(&value).ok()?;
        Some((name.parse().ok()?, SecretString::from(value)))
    });
    headers.collect()
}

/// Where traces go at such a collector, and whether others can read what goes there.
fn parse_endpoint(base: &str) -> Option<(String, bool)> {
    const PATH: &str = "/v1/traces";
    let url = Url::parse(base).ok()?;
    let is_plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() || !is_plain || url.fragment().is_some() {
        return None;
    }
    let host = url.host_str()?.trim_matches(['[', ']']);
    let is_here = host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    let base = url.as_str().trim_end_matches('/');
    let base = base.strip_suffix(PATH).unwrap_or(base);
    Some((format!("{base}{PATH}"), url.scheme() == "http" && !is_here))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn traces_go_to_their_own_place_at_the_collector() {
        for (base, expected, is_exposed) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces", false),
            ("http://[::1]:4318/", "http://[::1]:4318/v1/traces", false),
            ("http://collector:4318", "http://collector:4318/v1/traces", true),
            ("https://otlp.example.com/otlp", "https://otlp.example.com/otlp/v1/traces", false),
            ("https://otlp.example.com/v1/traces", "https://otlp.example.com/v1/traces", false),
        ] {
            assert_eq!(parse_endpoint(base), Some((expected.to_owned(), is_exposed)), "{base}");
        }
        for bad in ["", "collector:4318", "grpc://collector:4317", "http://u:p@h", "http://h/?key=1", "http://h/#a"] {
            assert_eq!(parse_endpoint(bad), None, "{bad}");
        }
    }

    #[test]
    fn headers_are_written_as_opentelemetry_has_them() {
        let headers = parse_headers("api-key=a%2Cb=, Authorization=Basic%20eDp5 ,").unwrap();
        let shown: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.expose_secret())).collect();
        assert_eq!(shown, [("api-key", "a,b="), ("authorization", "Basic eDp5")]);
        for bad in ["api-key", "=x", "a b=x", "a=%0a", "a=%", "a=%ff"] {
            assert!(parse_headers(bad).is_none(), "{bad}");
        }
    }
}
