//! Web origins (RFC 6454) whose pages may use this service with the browser's cookie.

/// An origin, or all subdomains of one: `https://app.example.com`, `http://localhost:5173`, `https://*.example.com`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedOrigin {
    scheme: &'static str,
    subdomains_only: bool,
    /// Host and port as a browser writes them.
    host: String,
}

impl AllowedOrigin {
    /// Reads one as an operator writes it.
    ///
    /// # Errors
    /// The rule it breaks, as the end of a sentence.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let text = text.to_ascii_lowercase();
        if text == "*" {
            return Err("allows every page to use its visitors' cookies; name the origins");
        }
        let (scheme, rest) = match text.split_once("://") {
            Some(("https", rest)) => ("https", rest),
            Some(("http", rest)) => ("http", rest),
            _ => return Err("must begin with https:// or http://"),
        };
        if rest.contains(['/', '?', '#', '@']) {
            return Err("must end after the host and the port; paths and a slash at the end are no part of an origin");
        }
        let (subdomains_only, host) = rest.strip_prefix("*.").map_or((false, rest), |host| (true, host));
        let (name, port) = split_port(host);
        if port
            .is_some_and(|port| port == "0" || port.parse::<u16>().map(|number| number.to_string()) != Ok(port.into()))
        {
            return Err("has no good port");
        }
        if matches!((scheme, port), ("https", Some("443")) | ("http", Some("80"))) {
            return Err("must leave out the port that its scheme has anyway, as browsers do");
        }
        if !is_host(name) || (subdomains_only && name.starts_with('[')) {
            return Err("has no good host; write international names in their xn-- form");
        }
        if subdomains_only && !name.contains('.') && name != "localhost" {
            return Err("allows a whole top-level domain");
        }
        Ok(Self { scheme, subdomains_only, host: host.to_owned() })
    }

    /// Whether an `Origin` header names it.
    #[must_use]
    pub fn matches(&self, origin: &str) -> bool {
        let rest = origin.strip_prefix(self.scheme).and_then(|rest| rest.strip_prefix("://"));
        let Some(host) = rest else { return false };
        if self.subdomains_only {
            let subdomain = host.strip_suffix(&self.host).and_then(|front| front.strip_suffix('.'));
            subdomain.is_some_and(is_name)
        } else {
            host == self.host
        }
    }

    /// Whether a page of `origin` is on another site for certain (RFC 6265bis section 5.2, without the scheme).
    ///
    /// Public suffixes are not looked up. Names that share their last two labels may be one site, and so may a name and
    /// its parent; no site is wider than that.
    #[must_use]
    pub fn is_on_other_site(&self, origin: &str) -> bool {
        let Some((_, other)) = origin.split_once("://") else { return false };
        let (own, _) = split_port(&self.host);
        let (other, _) = split_port(other);
        let is_below = |name: &str, parent: &str| name.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.'));
        if own == other || is_below(own, other) || is_below(other, own) {
            return false;
        }
        widest_site(own).is_none_or(|site| widest_site(other) != Some(site))
    }

    /// Whether what it exchanges with us can be read and changed on the way: plain HTTP to another machine.
    #[must_use]
    pub fn is_exposed(&self) -> bool {
        let (name, _) = split_port(&self.host);
        self.scheme == "http" && !matches!(name, "localhost" | "127.0.0.1" | "[::1]") && !name.ends_with(".localhost")
    }
}

/// The widest site that a name can belong to: its last two labels. None for an address and for a single label, which are
/// sites of their own.
fn widest_site(name: &str) -> Option<&str> {
    if name.starts_with('[') || name.parse::<std::net::Ipv4Addr>().is_ok() {
        return None;
    }
    let (front, _) = name.rsplit_once('.')?;
    let start = front.rfind('.').map_or(0, |dot| dot + 1);
    name.get(start..)
}

/// A host without its port, and the port.
pub(crate) fn split_port(host: &str) -> (&str, Option<&str>) {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (host, None),
    }
}

fn is_host(name: &str) -> bool {
    let in_brackets = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    in_brackets.map_or_else(|| is_name(name), |address| address.parse::<std::net::Ipv6Addr>().is_ok())
}

fn is_name(name: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b))
    };
    name.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_allows_itself_alone() {
        let allowed = AllowedOrigin::parse("https://App.example.com").unwrap();
        assert!(allowed.matches("https://app.example.com"));
        for other in [
            "http://app.example.com",
            "https://app.example.com:444",
            "https://app.example.com.evil.test",
            "https://evil.test/https://app.example.com",
            "https://x.app.example.com",
            "https://app.example.co",
            "null",
            "",
        ] {
            assert!(!allowed.matches(other), "{other}");
        }
        assert!(AllowedOrigin::parse("http://localhost:5173").unwrap().matches("http://localhost:5173"));
        assert!(AllowedOrigin::parse("http://[::1]:5173").unwrap().matches("http://[::1]:5173"));
    }

    #[test]
    fn a_wildcard_allows_subdomains_and_not_their_parent() {
        let allowed = AllowedOrigin::parse("https://*.example.com:8443").unwrap();
        assert!(allowed.matches("https://a.example.com:8443"));
        assert!(allowed.matches("https://a.b.example.com:8443"));
        for other in [
            "https://example.com:8443",
            "https://.example.com:8443",
            "https://evilexample.com:8443",
            "https://evil.test/.example.com:8443",
            "https://evil.test:1@a.example.com:8443",
            "https://evil.test#.example.com:8443",
            "https://a.example.com",
            "http://a.example.com:8443",
            "https://A.example.com:8443",
        ] {
            assert!(!allowed.matches(other), "{other}");
        }
    }

    #[test]
    fn what_no_browser_would_send_is_refused() {
        for text in [
            "*",
            "null",
            "",
            "app.example.com",
            "ftp://app.example.com",
            "https://",
            "https://*",
            "https://*.com",
            "https://*.*.example.com",
            "https://a*.example.com",
            "https://app.example.com/",
            "https://app.example.com/path",
            "https://user@app.example.com",
            "https://app.example.com:443",
            "http://app.example.com:80",
            "https://app.example.com:0",
            "https://app.example.com:080",
            "https://app.example.com:65536",
            "https://app.example.com:",
            "https://bücher.example",
            "https://a..b",
            "https://[::1",
            "https://*.[::1]",
        ] {
            assert!(AllowedOrigin::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn page_is_on_another_site_only_where_no_public_suffix_can_make_it_one() {
        for (service, page, other_site) in [
            ("https://auth.example.com", "https://app.example.com", false),
            ("https://auth.example.com", "http://example.com:8080", false),
            ("https://example.com", "https://a.b.example.com", false),
            ("https://auth.example.co.uk", "https://app.other.co.uk", false),
            ("https://auth.example.com", "https://app.example.net", true),
            ("https://auth.example.com", "https://app.other.com", true),
            ("https://auth.example.com", "https://com", false),
            ("http://localhost:8080", "http://localhost:5173", false),
            ("http://localhost:8080", "http://app.localhost:5173", false),
            ("http://localhost:8080", "http://127.0.0.1:5173", true),
            ("http://127.0.0.1:8080", "http://127.0.0.1:5173", false),
            ("http://127.0.0.1:8080", "http://127.0.0.2:5173", true),
            ("http://127.0.0.1:8080", "http://10.0.0.1:5173", true),
            ("http://[::1]:8080", "http://[::1]", false),
            ("http://[::1]:8080", "http://[::2]", true),
            ("http://intranet", "http://wiki", true),
            ("https://auth.example.com", "null", false),
        ] {
            assert_eq!(AllowedOrigin::parse(service).unwrap().is_on_other_site(page), other_site, "{service} {page}");
        }
    }

    #[test]
    fn plain_http_is_exposed_unless_it_stays_on_the_machine() {
        for (text, exposed) in [
            ("http://app.example.com", true),
            ("https://app.example.com", false),
            ("http://localhost:5173", false),
            ("http://app.localhost", false),
            ("http://127.0.0.1:3000", false),
            ("http://[::1]", false),
        ] {
            assert_eq!(AllowedOrigin::parse(text).unwrap().is_exposed(), exposed, "{text}");
        }
    }
}
