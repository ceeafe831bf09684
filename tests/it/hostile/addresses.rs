//! Nobody but a trusted proxy chooses the address that a request is taken to come from.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::LazyLock;

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use claviger::http::client_address::Proxies;
use ipnet::IpNet;

static NETWORKS: LazyLock<Vec<IpNet>> =
    LazyLock::new(|| ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().unwrap()).to_vec());
static BY_LIST: LazyLock<Proxies> = LazyLock::new(|| Proxies::new(NETWORKS.clone(), "x-forwarded-for"));
static BY_RFC_7239: LazyLock<Proxies> = LazyLock::new(|| Proxies::new(NETWORKS.clone(), "forwarded"));

const PROXY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7));
const CALLER: &str = "203.0.113.7";

fn trusted(address: IpAddr) -> bool {
    NETWORKS.iter().any(|network| network.contains(&address))
}

/// `f`: lines of `Forwarded`; else of `X-Forwarded-For`.
pub(crate) fn check(data: &[u8]) {
    let Some((way, rest)) = data.split_first() else { return };
    let by_rfc_7239 = *way == b'f';
    let lines: Option<Vec<HeaderValue>> =
        rest.split(|byte| *byte == b'\n').map(|line| HeaderValue::from_bytes(line).ok()).collect();
    let Some(lines) = lines else { return };
    let taken = |peer, lines: &[HeaderValue]| client(by_rfc_7239, peer, lines);

    assert_eq!(taken(STRANGER, &lines), STRANGER, "a stranger is taken for what it is");
    if !by_rfc_7239 && !rest.contains(&b'"') {
        assert_eq!(taken(PROXY, &lines), rightmost_stranger(rest));
    }
    // What a proxy adds decides, whatever stood there before it, on the same line or the next.
    let hop = |address: &str| if by_rfc_7239 { format!("for={address}") } else { address.to_owned() };
    let hops = [hop(CALLER), format!("{}, {}", hop(CALLER), hop("10.9.9.9"))];
    for hop in hops {
        let mut same_line = lines.clone();
        let last = same_line.pop().unwrap();
        let last = [last.as_bytes(), b", ", hop.as_bytes()].concat();
        same_line.push(HeaderValue::from_bytes(&last).unwrap());
        assert_eq!(taken(PROXY, &same_line).to_string(), CALLER, "{same_line:?}");
        let mut next_line = lines.clone();
        next_line.push(HeaderValue::from_str(&hop).unwrap());
        assert_eq!(taken(PROXY, &next_line).to_string(), CALLER, "{next_line:?}");
    }
}

fn client(by_rfc_7239: bool, peer: IpAddr, lines: &[HeaderValue]) -> IpAddr {
    let (proxies, names) = if by_rfc_7239 {
        (&*BY_RFC_7239, ["forwarded", "x-forwarded-for"])
    } else {
        (&*BY_LIST, ["x-forwarded-for", "forwarded"])
    };
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(HeaderName::from_static(names[0]), line.clone());
        headers.append(HeaderName::from_static(names[1]), HeaderValue::from_static("for=192.0.2.99"));
    }
    proxies.client(peer, &headers)
}

/// The rule in other words: from the right, the first that is no proxy; a proxy if something cannot be read before that.
fn rightmost_stranger(lines: &[u8]) -> IpAddr {
    let lines = String::from_utf8_lossy(lines);
    let mut nearest = PROXY;
    for text in lines.rsplit(['\n', ',']).map(str::trim) {
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        let found = bare.parse::<IpAddr>().or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip()));
        let Ok(address) = found else { break };
        nearest = address.to_canonical();
        if !trusted(nearest) {
            break;
        }
    }
    nearest
}
