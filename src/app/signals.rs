//! Signals that stop the process.

use tokio::signal::unix::{SignalKind, signal};

use super::AppError;

/// Resolves at the first SIGTERM or SIGINT. A second SIGINT ends the process at once: a person at a terminal does not want to wait.
/// A second SIGTERM changes nothing: a supervisor and its process group often send one each.
///
/// # Errors
/// [`AppError::Signals`].
pub fn asked_to_stop() -> Result<impl Future<Output = ()>, AppError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(AppError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(AppError::Signals)?;
    let (asked, first) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let mut asked = Some(asked);
        let mut is_interrupted = false;
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {
                    if is_interrupted {
                        std::process::exit(130);
                    }
                    is_interrupted = true;
                }
            }
            if let Some(asked) = asked.take() {
                let _nobody_waits = asked.send(());
            }
        }
    });
    Ok(async { first.await.unwrap_or_default() })
}
