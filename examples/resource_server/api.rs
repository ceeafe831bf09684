//! The API, and its verifier.

use std::collections::HashMap;
use std::net::TcpListener;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::http::header::AUTHORIZATION;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::json;
use time::OffsetDateTime;
use tokio::time::sleep;

/// Where claviger is, and the credentials by which this API reads the list of revocations.
pub(crate) struct Settings {
    /// The secret that claviger signs with.
    pub(crate) jwt_secret: String,
    /// For instance `http://127.0.0.1:8080`.
    pub(crate) auth_url: String,
    /// Of `claviger clients add NAME --scope revocations:read`.
    pub(crate) client_id: String,
    /// The same.
    pub(crate) client_secret: String,
}

const POLL_EVERY: Duration = Duration::from_secs(1);

/// Serves until it is stopped.
///
/// # Errors
/// When the listener cannot be used.
pub(crate) fn serve(settings: Settings, listener: TcpListener) -> std::io::Result<Server> {
    let verifier = web::Data::new(Verifier::new(&settings.jwt_secret));
    tokio::spawn(follow_revocations(settings, verifier.clone().into_inner()));
    let app = move || App::new().app_data(verifier.clone()).route("/items", web::get().to(items));
    Ok(HttpServer::new(app).workers(1).disable_signals().listen(listener)?.run())
}

async fn items(verifier: web::Data<Verifier>, request: HttpRequest) -> HttpResponse {
    let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let token = header.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    if !verifier.has_heard() {
        // Until the first list has come, a token of an ended session could not be told from a good one.
        return HttpResponse::ServiceUnavailable().insert_header(("retry-after", "1")).finish();
    }
    match token.and_then(|(_, token)| verifier.verify(token.trim())) {
        Some(claims) => HttpResponse::Ok().json(json!({ "items": [], "owner": claims.sub })),
        None => HttpResponse::Unauthorized().insert_header(("www-authenticate", "Bearer")).finish(),
    }
}

/// What an access token says; a real API takes what it needs.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    sid: String,
    iat: i64,
    #[serde(rename = "type")]
    token_type: String,
}

/// Verifies without asking anybody.
struct Verifier {
    key: DecodingKey,
    validation: Validation,
    /// Ended sessions and users cut off, by id, with the second it happened; none until the first list has come.
    revoked: RwLock<Option<HashMap<String, i64>>>,
}

impl Verifier {
    fn new(secret: &str) -> Self {
        // The algorithm is fixed: a token's own header never chooses.
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&["claviger"]);
        validation.set_audience(&["claviger"]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.leeway = 5;
        Self { key: DecodingKey::from_secret(secret.as_bytes()), validation, revoked: RwLock::default() }
    }

    fn verify(&self, token: &str) -> Option<Claims> {
        let claims = jsonwebtoken::decode::<Claims>(token, &self.key, &self.validation).ok()?.claims;
        let revoked = self.revoked.read().unwrap_or_else(PoisonError::into_inner);
        let revoked = revoked.as_ref()?;
        let session_ended = revoked.contains_key(&claims.sid);
        let user_cut_off = revoked.get(&claims.sub).is_some_and(|second| claims.iat <= *second);
        (claims.token_type == "access" && !session_ended && !user_cut_off).then_some(claims)
    }

    fn has_heard(&self) -> bool {
        self.revoked.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn learn(&self, list: &RevocationList) {
        let mut revoked = self.revoked.write().unwrap_or_else(PoisonError::into_inner);
        let revoked = revoked.get_or_insert_default();
        let news = list.sessions.iter().chain(&list.users);
        revoked.extend(news.map(|entry| (entry.id.clone(), entry.revoked_at.unix_timestamp())));
        // Older ones concern no token that still lives.
        let forgotten = list.server_time.unix_timestamp() - list.retention;
        revoked.retain(|_, second| *second >= forgotten);
    }
}

/// The answer of `GET /api/auth/revocations`.
#[derive(Deserialize)]
struct RevocationList {
    sessions: Vec<Revoked>,
    users: Vec<Revoked>,
    next: String,
    more: bool,
    retention: i64,
    #[serde(with = "time::serde::rfc3339")]
    server_time: OffsetDateTime,
}

#[derive(Deserialize)]
struct Revoked {
    id: String,
    #[serde(with = "time::serde::rfc3339")]
    revoked_at: OffsetDateTime,
}

/// Asks what is new, for ever. While the service cannot be reached, what is known has to do.
async fn follow_revocations(settings: Settings, verifier: Arc<Verifier>) {
    let http = reqwest::Client::new();
    let (mut access_token, mut next) = (String::new(), None);
    loop {
        match ask(&http, &settings, &access_token, next.as_deref()).await {
            Ok(list) => {
                verifier.learn(&list);
                next = Some(list.next);
                if list.more {
                    continue;
                }
            }
            // No token yet, or it has expired.
            Err(error) if error.status() == Some(StatusCode::UNAUTHORIZED) => {
                if let Ok(renewed) = renew(&http, &settings).await {
                    access_token = renewed;
                }
            }
            Err(_unreachable) => {}
        }
        sleep(POLL_EVERY).await;
    }
}

async fn ask(
    http: &reqwest::Client,
    settings: &Settings,
    access_token: &str,
    after: Option<&str>,
) -> reqwest::Result<RevocationList> {
    let query = after.map(|after| format!("?after={after}")).unwrap_or_default();
    let url = format!("{}/api/auth/revocations{query}", settings.auth_url);
    http.get(url).bearer_auth(access_token).send().await?.error_for_status()?.json().await
}

#[derive(Deserialize)]
struct Token {
    access_token: String,
}

/// A new token. There is no refresh token: the credentials are as good.
async fn renew(http: &reqwest::Client, settings: &Settings) -> reqwest::Result<String> {
    let asking = http
        .post(format!("{}/api/auth/token", settings.auth_url))
        .basic_auth(&settings.client_id, Some(&settings.client_secret))
        .form(&[("grant_type", "client_credentials")]);
    let token: Token = asking.send().await?.error_for_status()?.json().await?;
    Ok(token.access_token)
}
