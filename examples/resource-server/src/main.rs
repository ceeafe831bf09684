//! The program: settings from the environment, and Ctrl-C stops it.

use std::error::Error;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::process::ExitCode;

use resource_server::Settings;

#[actix_web::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _closed = writeln!(std::io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    #[expect(clippy::disallowed_methods, reason = "a program of its own, and the one place where it reads them")]
    let variables = std::env::vars_os();
    let text = variables.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let settings = Settings::read(&text.collect())?;
    let port = settings.port;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|error| format!("PORT {port}: {error}"))?;
    writeln!(std::io::stdout(), "listening on http://{}", listener.local_addr()?)?;
    let server = resource_server::serve(settings, listener)?;
    let handle = server.handle();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            handle.stop(true).await;
        }
    });
    Ok(server.await?)
}
