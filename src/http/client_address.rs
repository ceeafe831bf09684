//! Whose address a request comes from: the peer's, unless the peer is a proxy that an operator trusts to tell.

use std::net::{IpAddr, SocketAddr};

use actix_web::http::header::{FORWARDED, HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

/// The proxies in front, and how they tell.
#[derive(Debug, Clone)]
pub struct Proxies {
    networks: Vec<IpNet>,
    header: HeaderName,
}

impl Proxies {
    /// Proxies in these networks that append to `header`: `x-forwarded-for`, or `forwarded` (RFC 7239). Only the one that
    /// they append to can be believed; they pass on the other as the client made it up.
    #[must_use]
    pub fn new(networks: Vec<IpNet>, header: &'static str) -> Self {
        Self { networks, header: HeaderName::from_static(header) }
    }

    /// The nearest address that is no proxy of ours. Each proxy appends the address it was called from, so the list is
    /// read from the right, and what stands left of the first stranger is that stranger's own tale.
    #[must_use]
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut nearest = peer.to_canonical();
        let lines: Vec<&HeaderValue> = headers.get_all(&self.header).collect();
        let mut hops = lines.into_iter().rev().flat_map(|line| self.hops(line));
        while self.trusts(nearest) {
            match hops.next() {
                Some(Some(address)) => nearest = address,
                Some(None) | None => break,
            }
        }
        nearest
    }

    /// Whether this is the address of one of them.
    #[must_use]
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(&address))
    }

    /// The addresses of one header line from right to left; none for what is no address.
    fn hops(&self, line: &HeaderValue) -> Vec<Option<IpAddr>> {
        let line = String::from_utf8_lossy(line.as_bytes());
        let elements = split_from_right(&line, ',').into_iter();
        if self.header == FORWARDED {
            elements.map(|element| forwarded_for(element).and_then(address)).collect()
        } else {
            elements.map(address).collect()
        }
    }
}

/// The `for` parameter of one `Forwarded` element.
fn forwarded_for(element: &str) -> Option<&str> {
    let pairs = split_from_right(element, ';').into_iter().filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.rev().find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
    let value = value.trim();
    Some(value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value))
}

/// The parts between separators that are not in quotation marks, the last first: an open quotation mark in what a client
/// wrote must not swallow what a proxy appended.
fn split_from_right(text: &str, separator: char) -> Vec<&str> {
    let mut quoted = false;
    let is_separator = |character: char| {
        quoted ^= character == '"';
        character == separator && !quoted
    };
    text.rsplit(is_separator).collect()
}

/// An address, with or without a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| text.parse().ok().map(|with_port: SocketAddr| with_port.ip()))?;
    Some(IpAddr::to_canonical(&address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(by_rfc_7239: bool, peer: &str, lines: &[&str]) -> String {
        let networks = ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().unwrap()).to_vec();
        let names = if by_rfc_7239 { ["forwarded", "x-forwarded-for"] } else { ["x-forwarded-for", "forwarded"] };
        let proxies = Proxies::new(networks, names[0]);
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(proxies.header.clone(), HeaderValue::from_str(line).unwrap());
            headers.append(HeaderName::from_static(names[1]), HeaderValue::from_static("for=203.0.113.99"));
        }
        proxies.client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn a_stranger_is_taken_for_what_it_is() {
        for lines in [&[][..], &["203.0.113.1"], &["10.1.1.1"]] {
            assert_eq!(client(false, "198.51.100.7", lines), "198.51.100.7");
        }
        assert_eq!(client(false, "::ffff:198.51.100.7", &["203.0.113.1"]), "198.51.100.7");
    }

    #[test]
    fn the_rightmost_address_that_is_no_proxy_is_the_client() {
        for (lines, expected) in [
            (&["203.0.113.1"][..], "203.0.113.1"),
            (&["198.51.100.1, 203.0.113.1"], "203.0.113.1"),
            (&["203.0.113.1, 10.1.1.1 ,10.2.2.2"], "203.0.113.1"),
            (&["198.51.100.1", "203.0.113.1, 10.1.1.1", "10.2.2.2"], "203.0.113.1"),
            (&["198.51.100.1, 2001:db8::7"], "2001:db8::7"),
            (&["[2001:db8::7]:4711"], "2001:db8::7"),
            (&["203.0.113.1:4711"], "203.0.113.1"),
            (&["::ffff:203.0.113.1"], "203.0.113.1"),
            (&["10.3.3.3, 10.1.1.1"], "10.3.3.3"),
        ] {
            assert_eq!(client(false, "10.0.0.1", lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn what_is_no_address_ends_the_search_at_the_last_proxy() {
        for lines in [&["unknown"][..], &["203.0.113.1, x"], &["203.0.113.1,"], &[""], &["203.0.113.1", "é"], &[]] {
            assert_eq!(client(false, "10.0.0.1", lines), "10.0.0.1", "{lines:?}");
        }
        assert_eq!(client(false, "10.0.0.1", &["203.0.113.1, nonsense, 10.1.1.1"]), "10.1.1.1");
    }

    #[test]
    fn forwarded_is_read_with_its_quotation_marks() {
        for (line, expected) in [
            ("for=203.0.113.1;proto=https;by=10.0.0.1", "203.0.113.1"),
            ("proto=https;For=\"[2001:db8::7]:4711\"", "2001:db8::7"),
            ("for=198.51.100.1, for=\"203.0.113.1:80\", for=10.1.1.1", "203.0.113.1"),
            ("for=\"198.51.100.1, for=203.0.113.1", "203.0.113.1"),
            ("for=198.51.100.1;host=\"a,b;c\", for=203.0.113.1", "203.0.113.1"),
            ("for=203.0.113.1, for=unknown", "10.0.0.1"),
            ("for=203.0.113.1, for=_hidden", "10.0.0.1"),
            ("203.0.113.1", "10.0.0.1"),
        ] {
            assert_eq!(client(true, "10.0.0.1", &[line]), expected, "{line}");
        }
    }
}
