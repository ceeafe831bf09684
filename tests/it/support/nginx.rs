//! A real nginx, with servers that a test describes.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rcgen::CertifiedKey;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{find_program, wait_until};

/// What a distribution has in its nginx.conf, but with every file in a folder of the test's own, so that any user can
/// run it. One process without workers, which never changes its user.
const NGINX_CONF: &str = "
daemon off;
master_process off;
pid nginx.pid;
error_log error.log;
events {}
http {
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include servers.conf;
}
";

/// An nginx process, ended when dropped.
pub(crate) struct Nginx {
    process: Child,
    folder: TempDir,
}

impl Nginx {
    pub(crate) fn program() -> Option<PathBuf> {
        find_program(&["nginx"], &["/usr/sbin", "/usr/local/sbin"])
    }

    /// Runs it with `conf` as what would be in /etc/nginx/conf.d, and waits until it listens. Relative names in it are
    /// in a folder of its own.
    pub(crate) async fn start(conf: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), conf).await
    }

    /// The same for servers that listen with `ssl`: all of them have one self-signed certificate for these names.
    pub(crate) async fn start_with_tls(names: &[&str], conf: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(names).unwrap();
        fs::write(folder.path().join("certificate.pem"), cert.pem()).unwrap();
        fs::write(folder.path().join("key.pem"), signing_key.serialize_pem()).unwrap();
        let tls = "ssl_certificate certificate.pem;\nssl_certificate_key key.pem;\n";
        Self::start_in(folder, &format!("{tls}{conf}")).await
    }

    /// The same in this folder, with a worker beside its master as everywhere in production, so that it can be reloaded.
    pub(crate) async fn start_reloadable(folder: TempDir, conf: &str) -> Self {
        let main = NGINX_CONF.replace("master_process off;", "user root;\nworker_processes 1;");
        Self::run(folder, &main, conf).await
    }

    /// Goes by this from now on; those who are connected are served to the end by what was before.
    pub(crate) fn reload(&self, conf: &str) {
        fs::write(self.folder.path().join("servers.conf"), conf).unwrap();
        kill_process(Pid::from_child(&self.process), Signal::HUP).unwrap();
    }

    async fn start_in(folder: TempDir, conf: &str) -> Self {
        Self::run(folder, NGINX_CONF, conf).await
    }

    async fn run(folder: TempDir, main: &str, conf: &str) -> Self {
        fs::write(folder.path().join("nginx.conf"), main).unwrap();
        fs::write(folder.path().join("servers.conf"), conf).unwrap();
        let process = Command::new(Self::program().unwrap())
            .arg("-p")
            .arg(folder.path())
            .arg("-c")
            .arg(folder.path().join("nginx.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(folder.path().join("stderr")).unwrap())
            .spawn()
            .unwrap();
        let mut nginx = Self { process, folder };
        // It writes this file when it already listens on every port.
        wait_until("nginx listens", async || {
            let ended = nginx.process.try_wait().unwrap();
            assert!(ended.is_none(), "nginx: {}{}", nginx.read("stderr"), nginx.read("error.log"));
            !nginx.read("nginx.pid").is_empty()
        })
        .await;
        nginx
    }

    /// A file of its folder, such as a log that the given servers write; empty as long as there is none.
    pub(crate) fn read(&self, file: &str) -> String {
        fs::read_to_string(self.folder.path().join(file)).unwrap_or_default()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Unlike SIGKILL this ends workers, too.
        let _ended = kill_process(Pid::from_child(&self.process), Signal::TERM);
        drop(self.process.wait());
    }
}
