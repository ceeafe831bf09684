//! A real haproxy.

use std::fs::{self, File};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::{find_program, wait_until};

/// An haproxy process, killed when dropped.
pub(crate) struct HaProxy {
    process: Child,
    _folder: TempDir,
}

impl HaProxy {
    pub(crate) fn program() -> Option<PathBuf> {
        find_program(&["haproxy"], &["/usr/sbin", "/usr/local/sbin"])
    }

    /// Runs it with this file, in this folder, and waits until it listens on `port`.
    pub(crate) async fn start(folder: TempDir, cfg: &str, port: u16) -> Self {
        let (file, stderr) = (folder.path().join("haproxy.cfg"), folder.path().join("stderr"));
        fs::write(&file, cfg).unwrap();
        let mut command = Command::new(Self::program().unwrap());
        command.arg("-db").arg("-f").arg(&file).current_dir(folder.path());
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&stderr).unwrap());
        let mut haproxy = Self { process: process.spawn().unwrap(), _folder: folder };
        wait_until("haproxy listens", async || {
            let ended = haproxy.process.try_wait().unwrap();
            assert!(ended.is_none(), "haproxy: {}", fs::read_to_string(&stderr).unwrap_or_default());
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        })
        .await;
        haproxy
    }
}

impl Drop for HaProxy {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
