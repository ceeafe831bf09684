//! Several processes of the service on one database, each on an address that it keeps, and what stands in front of them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use rcgen::CertifiedKey;
use rustix::process::Signal;

use super::{Anonymous, HaProxy, Nginx, ServerProcess, free_port, read, wait_until};

/// Processes that can be replaced one by one, perhaps by those of another version.
pub(crate) struct Fleet {
    pub(crate) addresses: Vec<SocketAddr>,
    servers: Vec<Option<ServerProcess>>,
    database_url: String,
    settings: Vec<(&'static str, String)>,
}

/// No rate limits, as a few users here do what many do elsewhere; a proxy on this machine; a drain that is long enough for the
/// balancer below; and a short grace window, so that sessions rotate often. The serving role does not migrate.
const SETTINGS: [(&str, &str); 6] = [
    ("CLAVIGER__REFRESH_TOKEN__GRACE", "1s"),
    ("CLAVIGER__THROTTLE__ENABLED", "false"),
    ("CLAVIGER__SERVER__TRUSTED_PROXIES", "127.0.0.1"),
    ("CLAVIGER__SERVER__DRAIN", "1s"),
    ("CLAVIGER__DATABASE__MIGRATE", "false"),
    ("CLAVIGER__DATABASE__POOL_SIZE", "4"),
];

impl Fleet {
    /// Starts so many of this program.
    pub(crate) async fn start(program: &Path, size: usize, url: &str, settings: &[(&'static str, &str)]) -> Self {
        let addresses = (0..size).map(|_| SocketAddr::from(([127, 0, 0, 1], free_port()))).collect();
        let settings = SETTINGS.iter().chain(settings).map(|(name, value)| (*name, (*value).to_owned())).collect();
        let servers = (0..size).map(|_| None).collect();
        let mut fleet = Self { addresses, servers, database_url: url.to_owned(), settings };
        for index in 0..size {
            fleet.launch(index, program).await;
        }
        fleet
    }

    pub(crate) fn servers(&self) -> impl Iterator<Item = &ServerProcess> {
        self.servers.iter().flatten()
    }

    /// Starts one at an address that has none, and waits until it is ready.
    pub(crate) async fn launch(&mut self, index: usize, program: &Path) {
        let (address, mut settings) = (self.addresses[index], self.settings.clone());
        settings.push(("PORT", address.port().to_string()));
        let settings: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let server = ServerProcess::by(Command::new(program), &self.database_url, &settings).await;
        assert_eq!(server.address, address);
        // An older program's answers are not held against today's document.
        let caller = Anonymous::at(address);
        wait_until("the process is ready", async || caller.get("/health/ready").await.status == 200).await;
        self.servers[index] = Some(server);
    }

    /// Waits until users have been served by it.
    pub(crate) async fn serves(&self, index: usize) {
        let server = self.servers[index].as_ref().unwrap();
        wait_until("users come to it", async || server.log().contains("\"/api/auth/refresh\"")).await;
    }

    /// As an operator ends it.
    pub(crate) async fn stop(&mut self, index: usize) {
        let mut server = self.servers[index].take().unwrap();
        server.signal(Signal::TERM);
        assert_eq!(server.exit_code().await, Some(0), "{}", server.log());
    }

    /// Stops it with what it has in hand, for as long as `while_it_hangs` takes, and ends it there.
    pub(crate) async fn kill(&mut self, index: usize, while_it_hangs: impl Future<Output = ()>) {
        let server = self.servers[index].take().unwrap();
        server.signal(Signal::STOP);
        while_it_hangs.await;
        drop(server);
    }
}

/// haproxy with the file of deploy/haproxy, as it is but for addresses, and that it looks ten times as often; and where it
/// takes requests without TLS.
pub(crate) async fn behind_haproxy(fleet: &Fleet) -> (HaProxy, SocketAddr) {
    behind_haproxy_with(fleet, str::to_owned).await
}

/// The same with a change of the test's own.
pub(crate) async fn behind_haproxy_with(fleet: &Fleet, change: impl Fn(&str) -> String) -> (HaProxy, SocketAddr) {
    let (plain, public, bare) = (free_port(), free_port(), free_port());
    let folder = tempfile::tempdir().unwrap();
    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["auth.example.com".to_owned()]).unwrap();
    let pem = cert.pem() + &signing_key.serialize_pem();
    std::fs::write(folder.path().join("claviger.pem"), pem).unwrap();
    let cfg = read("deploy/haproxy/haproxy.cfg")
        .replace("    user haproxy\n    group haproxy\n", "")
        .replace("bind :80", &format!("bind 127.0.0.1:{plain}"))
        .replace("bind :443", &format!("bind 127.0.0.1:{bare}\n    bind 127.0.0.1:{public}"))
        .replace("/etc/haproxy/claviger.pem", "claviger.pem")
        .replace("inter 1s", "inter 100ms")
        .replace("10.0.0.11:8080", &fleet.addresses[0].to_string())
        .replace("10.0.0.12:8080", &fleet.addresses[1].to_string())
        .replace("10.0.0.13:8080", &fleet.addresses[2].to_string());
    (HaProxy::start(folder, &change(&cfg), bare).await, SocketAddr::from(([127, 0, 0, 1], bare)))
}

/// nginx with the file of deploy/compose, as it is but for addresses.
pub(crate) struct ComposeNginx {
    nginx: Nginx,
    conf: String,
    servers: Vec<SocketAddr>,
    /// Where it takes requests without TLS.
    pub(crate) bare: SocketAddr,
    pub(crate) public: u16,
    pub(crate) plain: u16,
    /// Says which file it goes by.
    marker: u16,
    pub(crate) certificate: PathBuf,
    generation: usize,
}

impl ComposeNginx {
    pub(crate) async fn before(fleet: &Fleet) -> Self {
        let (plain, public, bare, marker) = (free_port(), free_port(), free_port(), free_port());
        let folder = tempfile::tempdir().unwrap();
        let CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["auth.example.com".to_owned()]).unwrap();
        std::fs::write(folder.path().join("certificate.pem"), cert.pem()).unwrap();
        std::fs::write(folder.path().join("key.pem"), signing_key.serialize_pem()).unwrap();
        let conf = read("deploy/compose/nginx/claviger.conf")
            .replace("listen 80;", &format!("listen 127.0.0.1:{plain};"))
            .replace("listen 443 ssl;", &format!("listen 127.0.0.1:{public} ssl;\nlisten 127.0.0.1:{bare};"))
            .replace("/tls/", "")
            .replace("172.30.7.11:8080", &fleet.addresses[0].to_string())
            .replace("172.30.7.12:8080", &fleet.addresses[1].to_string());
        let certificate = folder.path().join("certificate.pem");
        let nginx = Nginx::start_reloadable(folder, &with_marker(&conf, marker, 0)).await;
        let bare = SocketAddr::from(([127, 0, 0, 1], bare));
        Self { nginx, conf, servers: fleet.addresses.clone(), bare, public, plain, marker, certificate, generation: 0 }
    }

    /// Sends everybody to the others from now on.
    pub(crate) async fn leave_out(&mut self, servers: &[usize]) {
        self.generation += 1;
        let down = servers.iter().map(|index| format!("server {};", self.servers[*index]));
        let conf = down.fold(self.conf.clone(), |conf, server| conf.replace(&server, &server.replace(';', " down;")));
        self.nginx.reload(&with_marker(&conf, self.marker, self.generation));
        let (http, marker) = (reqwest::Client::builder().no_proxy().build().unwrap(), self.marker);
        // A process that is about to go may close the connection on which it is asked.
        let told = async || Some(http.get(format!("http://127.0.0.1:{marker}/")).send().await.ok()?.text().await.ok()?);
        let generation = self.generation.to_string();
        wait_until("nginx goes by the new file", async || told().await.is_some_and(|told| told == generation)).await;
    }
}

fn with_marker(conf: &str, marker: u16, generation: usize) -> String {
    format!("{conf}\nserver {{ listen 127.0.0.1:{marker}; default_type text/plain; return 200 '{generation}'; }}\n")
}
