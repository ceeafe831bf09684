//! Hears from the service which sessions ended.

use std::convert::Infallible;
use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::{Duration, Instant};

use reqwest::header::RETRY_AFTER;
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, StatusCode, Url};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::{RevocationList, Revocations};

/// A question that takes longer is asked again.
const REQUEST_LIMIT: Duration = Duration::from_secs(5);
const CONNECT_LIMIT: Duration = Duration::from_secs(3);
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
/// A part of the list has 2,000 entries of 100 bytes.
const MOST_BYTES: usize = 2 * 1024 * 1024;
/// Of a token that is still good for a while.
const RENEW_AGAIN_AFTER: Duration = Duration::from_secs(10);
/// However long the service was away, it is heard so soon after its return.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Asks for the list of revocations, for as long as [`Follower::run`] runs.
pub struct Follower {
    http: Client,
    /// Without a slash at its end.
    service: String,
    client_id: String,
    client_secret: SecretString,
    every: Duration,
    revocations: Revocations,
    access_token: Option<AccessToken>,
    next: Option<String>,
}

struct AccessToken {
    text: SecretString,
    /// Half of its life is left then.
    renew_at: Instant,
}

/// Why there is nobody to follow.
#[derive(Debug, thiserror::Error)]
pub enum NoService {
    /// Not a URL such as `https://auth.example.com`, or one with a user, a query or a fragment.
    #[error("the address of the service must be like https://auth.example.com")]
    Address,
    /// TLS cannot be used on this machine.
    #[error("no client for HTTPS can be made")]
    Client(#[source] reqwest::Error),
}

/// Why the list was not heard.
#[derive(Debug, thiserror::Error)]
enum Unheard {
    #[error("the service cannot be reached")]
    Unreachable(#[from] reqwest::Error),
    #[error("the service does not know the client's id and secret")]
    Credentials,
    #[error("the service refuses the token that it gave")]
    Unauthorized,
    #[error("the client may not read the list; it needs the scope revocations:read")]
    Scope,
    #[error("the service answered with status {status}")]
    Status { status: StatusCode, retry_after: Option<Duration> },
    #[error("the answer is not what a claviger says")]
    Unreadable,
}

#[derive(Deserialize)]
struct Token {
    access_token: String,
    expires_in: u32,
}

impl Follower {
    /// Follows the service at `address`, with the id and the secret of `claviger clients add NAME --scope revocations:read`,
    /// and has `revocations` learn from it.
    ///
    /// The secret travels to the service: `address` is `https://…`, or of a network that you trust.
    ///
    /// # Errors
    /// [`NoService`].
    pub fn new(
        address: &str,
        client_id: impl Into<String>,
        client_secret: impl Into<String>,
        revocations: Revocations,
    ) -> Result<Self, NoService> {
        let url = Url::parse(address).map_err(|_relative| NoService::Address)?;
        let is_plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() || !is_plain || url.fragment().is_some() {
            return Err(NoService::Address);
        }
        // Redirects are errors: the token would go along.
        let http = Client::builder().redirect(Policy::none()).timeout(REQUEST_LIMIT).connect_timeout(CONNECT_LIMIT);
        let http = http.user_agent(concat!("claviger-verifier/", env!("CARGO_PKG_VERSION")));
        Ok(Self {
            http: http.build().map_err(NoService::Client)?,
            service: url.as_str().trim_end_matches('/').to_owned(),
            client_id: client_id.into(),
            client_secret: client_secret.into().into(),
            every: Duration::from_secs(1),
            revocations,
            access_token: None,
            next: None,
        })
    }

    /// How long to wait between two questions: a second, unless you say otherwise, and a hundredth at least. A token of an
    /// ended session is good for so much longer.
    #[must_use]
    pub fn every(self, every: Duration) -> Self {
        Self { every: every.max(SHORTEST_PAUSE), ..self }
    }

    /// Asks for ever; spawn it, and drop or abort it to stop. While the service is away what was heard stays, and it is asked
    /// again after longer and longer pauses, of ten seconds at most.
    pub async fn run(mut self) -> Infallible {
        let (mut failures, mut told) = (0, None);
        loop {
            let pause = match self.ask().await {
                Ok(more) => {
                    if told.take().is_some() {
                        tracing::info!("revocations are heard again");
                    }
                    failures = 0;
                    if more { Duration::ZERO } else { self.every }
                }
                Err(unheard) => {
                    let error = chain(&unheard);
                    // Once for each cause, and not once a second.
                    if told.as_ref() != Some(&error) {
                        tracing::warn!(error, "revocations are not heard; trying on");
                        told = Some(error);
                    }
                    failures += 1;
                    unheard.retry_after().max(back_off(self.every, failures)).min(LONGEST_PAUSE.max(self.every))
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Hears one part; says whether there is more.
    async fn ask(&mut self) -> Result<bool, Unheard> {
        let mut heard = self.list().await;
        // None yet, or it has expired, or the service has other secrets now.
        if matches!(heard, Err(Unheard::Unauthorized)) {
            self.access_token = Some(self.renew().await?);
            heard = self.list().await;
        }
        // It does not understand its own `next` any more: from the beginning.
        if matches!(heard, Err(Unheard::Status { status: StatusCode::UNPROCESSABLE_ENTITY, .. })) {
            self.next = None;
        }
        let (asked_at, list) = heard?;
        if list.more && self.next.as_deref() == Some(&list.next) {
            return Err(Unheard::Unreadable);
        }
        self.revocations.learn(&list, asked_at);
        self.next = Some(list.next);
        if !list.more {
            self.renew_in_time().await;
        }
        Ok(list.more)
    }

    /// Has another token before the one there is ends, so that a service that gives none for minutes is heard meanwhile.
    async fn renew_in_time(&mut self) {
        if self.access_token.as_ref().is_none_or(|token| Instant::now() < token.renew_at) {
            return;
        }
        match self.renew().await {
            Ok(token) => self.access_token = Some(token),
            Err(unheard) => {
                tracing::debug!(error = chain(&unheard), "the token cannot be renewed yet; the old one is still good");
                self.access_token.iter_mut().for_each(|token| token.renew_at = Instant::now() + RENEW_AGAIN_AFTER);
            }
        }
    }

    async fn list(&self) -> Result<(Instant, RevocationList), Unheard> {
        let token = self.access_token.as_ref().ok_or(Unheard::Unauthorized)?;
        let request = self.http.get(format!("{}/api/auth/revocations", self.service));
        let after = self.next.as_ref().map(|next| [("after", next)]);
        let request = after.iter().fold(request, RequestBuilder::query);
        let asked_at = Instant::now();
        let list = read(request.bearer_auth(token.text.expose_secret())).await.map_err(|unheard| {
            unheard
                .meaning(StatusCode::UNAUTHORIZED, Unheard::Unauthorized)
                .meaning(StatusCode::FORBIDDEN, Unheard::Scope)
        })?;
        Ok((asked_at, list))
    }

    /// A new access token. There is no refresh token: the credentials are as good.
    async fn renew(&self) -> Result<AccessToken, Unheard> {
        let request = self.http.post(format!("{}/api/auth/token", self.service));
        let asked_at = Instant::now();
        let request = request.basic_auth(&self.client_id, Some(self.client_secret.expose_secret()));
        let token = read::<Token>(request.form(&[("grant_type", "client_credentials")])).await;
        let token = token.map_err(|unheard| unheard.meaning(StatusCode::UNAUTHORIZED, Unheard::Credentials))?;
        let half = Duration::from_secs(token.expires_in.into()) / 2;
        Ok(AccessToken { text: token.access_token.into(), renew_at: asked_at + half })
    }
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Follower({})", self.service)
    }
}

impl Unheard {
    /// With a better word for this status.
    fn meaning(self, known: StatusCode, word: Self) -> Self {
        if matches!(&self, Self::Status { status, .. } if *status == known) { word } else { self }
    }

    fn retry_after(&self) -> Duration {
        match self {
            Self::Status { retry_after, .. } => retry_after.unwrap_or_default(),
            Self::Unreachable(_) | Self::Credentials | Self::Unauthorized | Self::Scope | Self::Unreadable => {
                Duration::ZERO
            }
        }
    }
}

/// The JSON of a good answer.
async fn read<T: DeserializeOwned>(request: RequestBuilder) -> Result<T, Unheard> {
    let mut response = request.send().await?;
    let status = response.status();
    if status != StatusCode::OK {
        let seconds = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        return Err(Unheard::Status { status, retry_after: seconds.map(Duration::from_secs) });
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > MOST_BYTES {
            return Err(Unheard::Unreadable);
        }
        body.extend_from_slice(&chunk);
    }
    serde_json::from_slice(&body).map_err(|_other| Unheard::Unreadable)
}

/// Twice as long after each failure, and up to half of it by chance: many who lost the service do not come back in step.
fn back_off(every: Duration, failures: u32) -> Duration {
    let longest = every.saturating_mul(2_u32.saturating_pow(failures.min(10))).min(LONGEST_PAUSE);
    let chance = RandomState::new().build_hasher().finish() % 512;
    longest / 2 + longest / 1024 * u32::try_from(chance).unwrap_or_default()
}

/// The error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests;
