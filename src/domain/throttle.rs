//! Limits on tries: what is limited, and how much of it is free.
//!
//! A limit is a bucket of tries that refills one by one. Failures of strangers must neither close an account nor keep its
//! owner out, so whoever has a live session has buckets of its own.

use std::net::IpAddr;
use std::time::Duration;

use aws_lc_rs::digest;
use ipnet::IpNet;
use uuid::Uuid;

/// A bucket: how many tries it holds, and how long one takes to come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// SHA-256 of what is limited.
    pub key: [u8; 32],
    /// Tries that are free at once.
    pub burst: u32,
    /// How long one takes to come back.
    pub refill: Duration,
    /// Whether failures count in a row: a success then gives back all of them, and else its own try.
    pub in_a_row: bool,
}

/// Who tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trier {
    /// A device that showed a token of a live session of the account.
    Device(Uuid),
    /// Somebody in the network of a live session of the account.
    Neighbour(IpAddr),
    /// Anybody else.
    Stranger(IpAddr),
}

const MINUTE: Duration = Duration::from_mins(1);

/// The limits of a failed login. `account` is the address as it was typed, known or not, so that limits tell nothing.
#[must_use]
pub fn of_login(account: &str, trier: Trier) -> Vec<Limit> {
    // Fifty at once, for as many programs that sign in at the same moment; one that guesses gets 1,440 tries a day more.
    let here = |place: &[u8]| Limit {
        key: key(b"login here", &[account.as_bytes(), place]),
        burst: 50,
        refill: MINUTE,
        in_a_row: true,
    };
    // No more than 100 failures in a row (NIST SP 800-63B section 5.2.2), then one at a time.
    let anywhere = Limit {
        key: key(b"login account", &[account.as_bytes()]),
        burst: 100,
        refill: Duration::from_mins(15),
        in_a_row: true,
    };
    // An office behind one address, each of whom mistypes a few times; successes give back what they took.
    let nearby = |address| by_network(b"login", address, 100, Duration::from_secs(10));
    match trier {
        Trier::Device(session) => vec![here(session.as_bytes())],
        Trier::Neighbour(address) => vec![here(network(address).to_string().as_bytes()), nearby(address)],
        Trier::Stranger(address) => {
            let mut limits = vec![here(network(address).to_string().as_bytes()), nearby(address), anywhere];
            limits.extend(by_site(b"login", address, 1000, Duration::from_secs(1)));
            limits
        }
    }
}

/// The limit of successful logins of an account: five hundred at once, for test runs, then a hundred an hour. Each leaves rows
/// for months. A wrong password takes nothing of it, so nobody is kept out by strangers.
#[must_use]
pub fn of_sign_ins(user_id: Uuid) -> Limit {
    let refill = Duration::from_secs(36);
    Limit { key: key(b"sign in", &[user_id.as_bytes()]), burst: 500, refill, in_a_row: false }
}

/// The limits of what takes the password besides an access token: whoever holds the latter may not guess the former with it.
#[must_use]
pub fn of_password_proof(user_id: Uuid, session_id: Uuid) -> Vec<Limit> {
    of_login(&user_id.to_string(), Trier::Device(session_id))
}

/// The limit of copies of everything: ten at once, then one a minute.
#[must_use]
pub fn of_export(user_id: Uuid) -> Limit {
    Limit { key: key(b"export", &[user_id.as_bytes()]), burst: 10, refill: MINUTE, in_a_row: false }
}

/// The limits of a registration: a hundred at once, for classrooms and tests, then one a minute.
#[must_use]
pub fn of_registration(address: IpAddr) -> Vec<Limit> {
    let nearby = by_network(b"register", address, 100, MINUTE);
    by_site(b"register", address, 1000, MINUTE / 10).into_iter().chain([nearby]).collect()
}

/// The limits of mails that strangers have sent to an address: five at once, then one in five minutes, for each kind, so that
/// nobody's mailbox is filled and each kind can be asked for while another is. From one network as many as it may register.
#[must_use]
pub fn of_mail(kind: &str, recipient: &str, address: IpAddr) -> Vec<Limit> {
    let to = Limit {
        key: key(b"mail", &[kind.as_bytes(), recipient.as_bytes()]),
        burst: 5,
        refill: 5 * MINUTE,
        in_a_row: false,
    };
    let nearby = by_network(b"mail", address, 100, MINUTE);
    by_site(b"mail", address, 1000, MINUTE / 10).into_iter().chain([nearby, to]).collect()
}

/// The limits of mailed tokens that come back. Nobody guesses one; this bounds what trying costs us.
#[must_use]
pub fn of_mailed_tokens(address: IpAddr) -> Vec<Limit> {
    let nearby = by_network(b"mailed token", address, 100, Duration::from_secs(10));
    by_site(b"mailed token", address, 1000, Duration::from_secs(1)).into_iter().chain([nearby]).collect()
}

fn by_network(what: &[u8], address: IpAddr, burst: u32, refill: Duration) -> Limit {
    Limit { key: key(what, &[network(address).to_string().as_bytes()]), burst, refill, in_a_row: false }
}

/// For the 65,536 networks that one customer of a provider may have of IPv6. Elsewhere others share so many, so it is
/// wide, and for strangers alone.
fn by_site(what: &[u8], address: IpAddr, burst: u32, refill: Duration) -> Option<Limit> {
    let site = address.is_ipv6().then(|| IpNet::new(address, 48).ok()).flatten()?.trunc();
    Some(Limit { key: key(what, &[site.to_string().as_bytes()]), burst, refill, in_a_row: false })
}

/// What one subscriber has at least: an IPv4 address, or an IPv6 network of 64 bits, in which addresses cost nothing.
#[must_use]
pub fn network(address: IpAddr) -> IpNet {
    let width = if address.is_ipv4() { 32 } else { 64 };
    IpNet::new(address, width).map_or(address.into(), |network| network.trunc())
}

/// Each part with its length, so that no two lists of parts give the same bytes.
fn key(kind: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in std::iter::once(&kind).chain(parts) {
        context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(part);
    }
    context.finish().as_ref().try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn keys(account: &str, trier: Trier) -> BTreeSet<[u8; 32]> {
        of_login(account, trier).iter().map(|limit| limit.key).collect()
    }

    fn from(address: &str) -> Trier {
        Trier::Stranger(address.parse().unwrap())
    }

    #[test]
    fn ipv6_counts_by_64_bits_and_ipv4_by_address() {
        let same = |a, b| keys("ada", from(a)) == keys("ada", from(b));
        assert!(same("2001:db8:0:1::1", "2001:db8:0:1:ffff::2"));
        assert!(!same("2001:db8:0:1::1", "2001:db8:0:2::1"));
        assert!(!same("192.0.2.1", "192.0.2.2"));
    }

    #[test]
    fn a_site_of_many_ipv6_networks_has_a_limit_of_its_own() {
        let shared = |a, b| keys("ada", from(a)).intersection(&keys("bob", from(b))).count();
        assert_eq!(shared("2001:db8:0:1::1", "2001:db8:0:ffff::1"), 1, "the site");
        assert_eq!(shared("2001:db8:0:1::1", "2001:db8:1:1::1"), 0);
        assert_eq!(shared("192.0.2.1", "192.0.2.2"), 0, "IPv4 has none");
        let neighbour = keys("bob", Trier::Neighbour("2001:db8:0:2::1".parse().unwrap()));
        let stranger = keys("ada", from("2001:db8:0:1::1"));
        assert_eq!(
            neighbour.intersection(&stranger).count(),
            0,
            "strangers of the site keep nobody out who is signed in"
        );
    }

    #[test]
    fn what_is_counted_apart_has_keys_of_its_own() {
        let ada = keys("ada", from("192.0.2.1"));
        assert_eq!(ada.len(), 3);
        assert_eq!(ada.intersection(&keys("bob", from("192.0.2.1"))).count(), 1, "the network");
        assert_eq!(ada.intersection(&keys("ada", from("192.0.2.2"))).count(), 1, "the account");
        assert_eq!(ada.intersection(&keys("ada", Trier::Device(Uuid::nil()))).count(), 0);
        assert_eq!(ada.intersection(&keys("ada", Trier::Neighbour("192.0.2.1".parse().unwrap()))).count(), 2);
        let registration = of_registration("192.0.2.1".parse().unwrap());
        assert!(registration.iter().all(|limit| !ada.contains(&limit.key)));
        assert_ne!(keys("ab", Trier::Device(Uuid::nil())), keys("a", Trier::Device(Uuid::nil())));
    }
}
