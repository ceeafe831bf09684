//! Connecting where the URL names several hosts, as for a fail-over.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio_postgres::config::{Host, TargetSessionAttrs};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, Connection, Error, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

type Connected = (Client, Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>);

/// How long one that says nothing keeps the next from being tried, beside it.
const HEAD_START: Duration = Duration::from_millis(300);
/// Where any host will do, a standby does too: the first is given more time.
const LONG_HEAD_START: Duration = Duration::from_secs(1);

/// Connects to the first host that will do. If no host says anything, this does not end.
///
/// The driver bounds no more than the opening of a socket. A host that accepts and is silent, as a frozen one is, would
/// take all the time, and those after it would never be tried.
///
/// # Errors
/// That of the last host that gave one.
pub(super) async fn connect(config: &Config, tls: &MakeRustlsConnect) -> Result<Connected, Error> {
    let any_will_do = config.get_target_session_attrs() == TargetSessionAttrs::Any;
    let head_start = if any_will_do { LONG_HEAD_START } else { HEAD_START };
    let mut hosts = each_host(config).into_iter();
    let mut attempts = JoinSet::new();
    let mut refused = None;
    loop {
        let patience = match hosts.next() {
            Some(host) => {
                let tls = tls.clone();
                attempts.spawn(async move { host.connect(tls).await });
                if hosts.len() > 0 { head_start } else { Duration::MAX }
            }
            None => Duration::MAX,
        };
        match tokio::time::timeout(patience, attempts.join_next()).await {
            Ok(Some(Ok(Ok(connected)))) => return Ok(connected),
            Ok(Some(Ok(Err(error)))) => refused = Some(error),
            Ok(Some(Err(_))) | Err(_) => {}
            Ok(None) => match refused {
                Some(error) => return Err(error),
                // The runtime is shutting down.
                None => return std::future::pending().await,
            },
        }
    }
}

/// The same for each host alone. Where lists do not fit each other it stays one, and the driver says so.
fn each_host(config: &Config) -> Vec<Config> {
    let (hosts, addresses, ports) = (config.get_hosts(), config.get_hostaddrs(), config.get_ports());
    let count = hosts.len().max(addresses.len());
    let fits = |length: usize| length == 0 || length == count;
    if count < 2 || !fits(hosts.len()) || !fits(addresses.len()) || !(ports.len() == 1 || fits(ports.len())) {
        return vec![config.clone()];
    }
    let one = |n: usize| {
        let mut one = without_host(config);
        match hosts.get(n) {
            Some(Host::Tcp(name)) => _ = one.host(name),
            Some(Host::Unix(path)) => _ = one.host_path(path),
            None => {}
        }
        addresses.get(n).map(|address| one.hostaddr(*address));
        ports.get(n).or_else(|| ports.first()).map(|port| one.port(*port));
        one
    };
    (0..count).map(one).collect()
}

/// All but where it is. The order of hosts is ours, so `load_balance_hosts` has no meaning for one.
fn without_host(config: &Config) -> Config {
    let mut copy = Config::new();
    config.get_user().map(|user| copy.user(user));
    config.get_password().map(|password| copy.password(password));
    config.get_dbname().map(|name| copy.dbname(name));
    config.get_options().map(|options| copy.options(options));
    config.get_application_name().map(|name| copy.application_name(name));
    config.get_connect_timeout().map(|limit| copy.connect_timeout(*limit));
    config.get_tcp_user_timeout().map(|limit| copy.tcp_user_timeout(*limit));
    config.get_keepalives_interval().map(|interval| copy.keepalives_interval(interval));
    config.get_keepalives_retries().map(|retries| copy.keepalives_retries(retries));
    copy.ssl_mode(config.get_ssl_mode())
        .ssl_negotiation(config.get_ssl_negotiation())
        .keepalives(config.get_keepalives())
        .keepalives_idle(config.get_keepalives_idle())
        .target_session_attrs(config.get_target_session_attrs())
        .channel_binding(config.get_channel_binding());
    copy
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Config {
        url.parse().unwrap()
    }

    #[test]
    fn each_host_has_everything_but_the_others() {
        let options = "user=u password=p dbname=d options=-cx=y application_name=a sslmode=require connect_timeout=7 \
                       tcp_user_timeout=8 keepalives=0 keepalives_idle=9 keepalives_interval=10 keepalives_retries=11 \
                       target_session_attrs=read-write channel_binding=require";
        let each = each_host(&parse(&format!("host=h1,/run/h2 port=1,2 {options}")));
        let alone = ["host=h1 port=1", "host=/run/h2 port=2"].map(|host| parse(&format!("{host} {options}")));
        assert_eq!(each, alone);
    }

    #[test]
    fn one_port_is_for_all_and_lists_that_do_not_fit_stay_as_they_are() {
        assert_eq!(each_host(&parse("host=h1,h2 port=6")), ["host=h1 port=6", "host=h2 port=6"].map(parse));
        assert_eq!(each_host(&parse("host=h1,h2")), ["host=h1", "host=h2"].map(parse));
        let odd = parse("host=h1,h2,h3 port=1,2");
        assert_eq!(each_host(&odd), std::slice::from_ref(&odd));
    }
}
