//! The service in this process, over a Postgres of its own.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::mpsc;
use std::thread::JoinHandle;

use claviger::app::App;
use claviger::config;
use claviger::dev::binaries::Binaries;
use claviger::dev::cluster::{Cluster, Purpose};
use claviger::telemetry;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use uuid::Uuid;

/// A server that ends with this.
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    /// Where what this process says on standard error went before.
    stderr: OwnedFd,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    /// After the server.
    _postgres: Cluster,
}

impl Service {
    /// Starts it, with its log and all of standard error going nowhere for as long.
    pub(crate) fn start() -> Self {
        let postgres = runtime().block_on(start_postgres());
        let environment = [
            ("DATABASE_URL", &*postgres.default_url()),
            ("JWT_SECRET", "fWq3kPz7RtYx1VbN5mLc9HsD2gJ8aKeU4oXi6TvB0nE"),
            ("REFRESH_SECRET", "Zr8uYw2QmXc6TnV4bKp0LsJ7hGf3DdAe9RiOx5EtN1k"),
            ("PORT", "0"),
            ("CLAVIGER__SERVER__HOST", "127.0.0.1"),
            ("CLAVIGER__SERVER__WORKERS", "1"),
            ("CLAVIGER__SESSIONS__SWEEP_EVERY", "0s"),
            // A login that ends another session takes more.
            ("CLAVIGER__SESSIONS__MAX_PER_USER", "1000"),
            // A hash takes the same few allocations at any cost.
            ("CLAVIGER__PASSWORD__BCRYPT_COST", "4"),
            ("CLAVIGER__LOG__FORMAT", "json"),
        ];
        let environment: BTreeMap<_, _> =
            environment.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let settings = config::load(None, &environment, &BTreeMap::new()).unwrap().settings;
        let stderr = rustix::io::dup(rustix::stdio::stderr()).unwrap();
        rustix::stdio::dup2_stderr(OpenOptions::new().write(true).open("/dev/null").unwrap()).unwrap();
        telemetry::start(&settings.log);
        assert!(tracing::enabled!(tracing::Level::INFO), "the log costs what it costs in production");

        let (stop, stopped) = oneshot::channel();
        let (tell, told) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            runtime().block_on(async {
                let app = App::build(settings).unwrap();
                tell.send(app.address()).unwrap();
                app.run(async { stopped.await.unwrap_or_default() }).await.unwrap();
            });
        });
        let address = told.recv().expect("the server starts");
        Self { address, stderr, stop: Some(stop), thread: Some(thread), _postgres: postgres }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop.take().map(|stop| stop.send(()));
        drop(self.thread.take().map(JoinHandle::join));
        _ = rustix::stdio::dup2_stderr(&self.stderr);
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

async fn start_postgres() -> Cluster {
    let path = config::environment().remove("PATH").unwrap_or_default();
    let binaries = Binaries::find(None, &path).unwrap_or_else(|error| panic!("{error}"));
    let folder = std::env::temp_dir().join(format!("claviger-test-{}", Uuid::new_v4().simple()));
    Cluster::start(&binaries, &folder, Purpose::Test(&[])).await.unwrap_or_else(|error| panic!("{error}"))
}
