//! A client that does what docs/api.md asks of it, and expects what is promised there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use uuid::Uuid;

use crate::caller::{Answer, Caller, Reply, Request};
use crate::ledger::{Ended, Held, Ledger};

pub(crate) const PASSWORD: &str = "correct horse battery staple";

pub(crate) struct Client {
    pub(crate) caller: Caller,
    pub(crate) ledger: Arc<Ledger>,
    /// Set when nothing more should be tried.
    pub(crate) given_up: Arc<AtomicBool>,
    pub(crate) session: Option<Held>,
}

/// Every try of one call, as one.
struct Said {
    answer: Answer,
    /// When the try was sent that was answered.
    asked: Instant,
    /// How many tries before that had no answer, or 503: they may have done their work.
    unconfirmed: u32,
}

impl Client {
    /// Calls at random until told to stop; then ends with what it is at.
    pub(crate) async fn run(mut self, stop: Arc<AtomicBool>) {
        while !stop.load(Ordering::Relaxed) {
            let device = self.session.take();
            self.session = match (device, self.caller.dice.below(100)) {
                (Some(session), 0..60) => self.refresh(session).await,
                (Some(session), 60..90) => self.me(session).await,
                (Some(session), 90..93) => self.leave_and_return(session).await,
                // On another device; what the first one holds must stay good all the while.
                (Some(session), 93..96) => self.login(&session.email, session.asked).await,
                _ => self.register().await,
            };
            let pause = 5 + self.caller.dice.up_to(35);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }

    /// Repeats a request until it is answered; none if there is no more time.
    async fn insist(&mut self, request: &Request) -> Option<Said> {
        let mut unconfirmed = 0;
        loop {
            let asked = Instant::now();
            if let Reply::Answered(answer) = self.caller.send(request).await {
                return Some(Said { answer, asked, unconfirmed });
            }
            if self.given_up.load(Ordering::Relaxed) {
                return None;
            }
            unconfirmed += 1;
            let pause = 20 + self.caller.dice.up_to(80);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }

    /// The key is kept before the request is sent, and the token until its successor is here.
    async fn refresh(&mut self, mut session: Held) -> Option<Held> {
        let key = session.key.get_or_insert_with(|| Uuid::new_v4().simple().to_string()).clone();
        self.ledger.keep(&session);
        let body = Some(json!({ "refresh_token": session.refresh_token }));
        let said = self.insist(&Request { body, path: "/api/auth/refresh", key: Some(key), bearer: None }).await?;
        if said.answer.status == 401 && self.ledger.is_void(session.asked) {
            return None;
        }
        let next = self.read(200, &said, &session.email)?;
        let is_next = next.session_id == session.session_id && next.generation == session.generation + 1;
        if !is_next || next.user_id != session.user_id {
            self.caller.wrong(format!("a refresh gave no successor: {:?} after {session:?}", said.answer));
            return None;
        }
        self.ledger.keep(&next);
        Some(next)
    }

    async fn me(&mut self, session: Held) -> Option<Held> {
        let bearer = Some(session.access_token.clone());
        let said = self.insist(&Request { path: "/api/auth/me", bearer, ..Request::default() }).await?;
        let answer = said.answer;
        if answer.status == 401 && self.ledger.is_void(session.asked) {
            return None;
        }
        let is_own = answer.body["email"] == session.email && answer.body["id"] == session.user_id.to_string();
        if answer.status != 200 || !is_own {
            self.caller.wrong(format!("me of {} gave {answer:?}", session.email));
            return None;
        }
        Some(session)
    }

    async fn leave_and_return(&mut self, mut session: Held) -> Option<Held> {
        session.ended = Ended::Perhaps;
        self.ledger.keep(&session);
        let body = Some(json!({ "refresh_token": session.refresh_token }));
        let said = self.insist(&Request { body, path: "/api/auth/logout", ..Request::default() }).await?;
        if said.answer.status != 204 {
            self.caller.wrong(format!("a logout gave {:?}", said.answer));
            return None;
        }
        session.ended = Ended::Yes;
        // Void or not is a matter of when the session began: one thrown away before could not be ended.
        self.ledger.keep(&session);
        self.login(&session.email, session.asked).await
    }

    /// Signs in to an account that is known to be there since a request of `since`.
    async fn login(&mut self, email: &str, since: Instant) -> Option<Held> {
        let body = Some(json!({ "email": email, "password": PASSWORD }));
        let said = self.insist(&Request { body, path: "/api/auth/login", ..Request::default() }).await?;
        if said.answer.status == 401 && self.ledger.is_void(since) {
            return None;
        }
        self.begin(200, &said, email)
    }

    async fn register(&mut self) -> Option<Held> {
        let email = format!("client{}-{}@example.com", self.caller.id, Uuid::new_v4().simple());
        let body = Some(json!({ "email": email, "password": PASSWORD }));
        let said = self.insist(&Request { body, path: "/api/auth/register", ..Request::default() }).await?;
        if said.answer.status == 409 && said.unconfirmed > 0 {
            // An earlier try made it.
            return self.login(&email, said.asked).await;
        }
        let session = self.begin(201, &said, &email)?;
        self.ledger.keep_account(&email, said.asked);
        Some(session)
    }

    /// Takes a session that has just begun.
    fn begin(&self, status: u16, said: &Said, email: &str) -> Option<Held> {
        let session = self.read(status, said, email)?;
        if session.generation != 0 || said.answer.body["user"]["email"] != email {
            self.caller.wrong(format!("a sign-in of {email} gave {:?}", said.answer));
            return None;
        }
        self.ledger.keep(&session);
        Some(session)
    }

    /// The tokens of an answer; none if there is anything wrong with it.
    fn read(&self, status: u16, said: &Said, email: &str) -> Option<Held> {
        let held = if said.answer.status == status {
            Held::read(&said.answer.body, email, said.asked)
        } else {
            Err("an answer that nobody may get")
        };
        held.inspect_err(|fault| self.caller.wrong(format!("{fault}: {email} got {:?}", said.answer))).ok()
    }
}
