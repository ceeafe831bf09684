//! Random concurrent histories of sessions, played on three processes and on a model of docs/token-lifecycle.md.

#![expect(clippy::print_stdout, reason = "a run says how much it has played")]

use std::collections::HashSet;
use std::sync::Arc;

use claviger::config;
use serde_json::json;

use crate::support::{Account, Anonymous, Dice, ServerProcess, TestDatabase};

/// Requests in all. `HISTORY_STEPS` plays more.
const STEPS: usize = 3_000;
const STEPS_IN_HISTORY: usize = 40;
const PROCESSES: usize = 3;
/// Seconds, as `refresh_token.grace`. Time passes in jumps, far enough from the window's end for the test's own duration.
const GRACE: u64 = 60;
const JUMP: u64 = 40;

/// A token, by its generation; an `Idempotency-Key`, by a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Request {
    Refresh { token: u32, key: Option<u32> },
    Logout { token: u32 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reply {
    /// 200 with the token of that generation.
    Token(u32),
    Replayed,
    Ended,
    NoContent,
}

/// A session as the documentation describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Model {
    generation: u32,
    /// Seconds since the last rotation.
    age: u64,
    key: Option<u32>,
    is_ended: bool,
    grace: u64,
}

impl Model {
    fn of_login(grace: u64) -> Self {
        Self { generation: 0, age: 0, key: None, is_ended: false, grace }
    }

    fn after(mut self, request: Request) -> (Self, Reply) {
        let in_window = self.age < self.grace;
        let reply = match request {
            Request::Logout { .. } => {
                self.is_ended = true;
                Reply::NoContent
            }
            Request::Refresh { .. } if self.is_ended => Reply::Ended,
            Request::Refresh { token, key } if token == self.generation => {
                if self.generation == 0 || !in_window {
                    (self.generation, self.age, self.key) = (token + 1, 0, key);
                }
                Reply::Token(self.generation)
            }
            Request::Refresh { token, key }
                if token + 1 == self.generation && (in_window || key.is_some() && key == self.key) =>
            {
                Reply::Token(self.generation)
            }
            Request::Refresh { .. } => {
                self.is_ended = true;
                Reply::Replayed
            }
        };
        (self, reply)
    }
}

/// The states after simultaneous requests, in any order in which the model gives these replies.
fn explain(state: Model, requests: &[(Request, Reply)]) -> HashSet<Model> {
    if requests.is_empty() {
        return [state].into();
    }
    let mut states = HashSet::new();
    for (index, (request, reply)) in requests.iter().enumerate() {
        let (next, expected) = state.after(*request);
        if expected == *reply {
            let others: Vec<_> = [&requests[..index], &requests[index + 1..]].concat();
            states.extend(explain(next, &others));
        }
    }
    states
}

/// One session with the tokens that it has issued.
struct History {
    seed: u64,
    dice: Dice,
    callers: Vec<Anonymous>,
    database: Arc<TestDatabase>,
    account: Account,
    /// The text of each generation that was seen.
    tokens: Vec<String>,
    states: HashSet<Model>,
    told: Vec<String>,
}

impl History {
    async fn start(seed: u64, callers: Vec<Anonymous>, database: Arc<TestDatabase>, grace: u64) -> Self {
        let account = callers[0].register(&format!("history-{seed}@example.com")).await;
        let tokens = vec![account.refresh_token.clone()];
        let (dice, states) = (Dice(seed), [Model::of_login(grace)].into());
        Self { seed, dice, callers, database, account, tokens, states, told: Vec::new() }
    }

    /// Sends requests at the same moment, each to some process, and holds the replies against the model.
    async fn play(&mut self, requests: Vec<Request>) -> Vec<Reply> {
        let mut sent = Vec::new();
        for request in &requests {
            let caller = self.callers[self.dice.below(self.callers.len())].clone();
            let (token, key, path) = match *request {
                Request::Refresh { token, key } => (token, key, "/api/auth/refresh"),
                Request::Logout { token } => (token, None, "/api/auth/logout"),
            };
            let token = self.tokens[token as usize].clone();
            sent.push(tokio::spawn(async move {
                let mut request = caller.request(reqwest::Method::POST, path).json(&json!({ "refresh_token": token }));
                if let Some(key) = key {
                    request = request.header("idempotency-key", format!("key {key}"));
                }
                caller.send(request).await
            }));
        }
        let mut replies = Vec::new();
        for answer in sent {
            let answer = answer.await.unwrap();
            replies.push(match (answer.status.as_u16(), answer.body["code"].as_str()) {
                (200, _) => Reply::Token(self.generation_of(answer.text("refresh_token"))),
                (204, _) => Reply::NoContent,
                (401, Some("refresh_token_replayed")) => Reply::Replayed,
                (401, Some("session_ended")) => Reply::Ended,
                _ => panic!("history {}: {answer:?}\n{}", self.seed, self.told.join("\n")),
            });
        }
        let played: Vec<_> = requests.into_iter().zip(replies.iter().copied()).collect();
        self.told.push(format!("{played:?}"));
        let states: HashSet<Model> = self.states.iter().flat_map(|state| explain(*state, &played)).collect();
        assert!(
            !states.is_empty(),
            "history {}: no order explains the last replies\n{}",
            self.seed,
            self.told.join("\n")
        );
        self.states = states;
        replies
    }

    fn generation_of(&mut self, token: &str) -> u32 {
        let known = self.tokens.iter().position(|known| known == token);
        let generation = known.unwrap_or_else(|| {
            self.tokens.push(token.to_owned());
            self.tokens.len() - 1
        });
        generation as u32
    }

    /// Lets time pass for this session.
    async fn pass(&mut self, seconds: u64) {
        let session = &self.account.session_id;
        let sql = format!(
            "update sessions set rotated_at = rotated_at - interval '{seconds} seconds' where id = '{session}'"
        );
        self.database.execute(&sql).await;
        self.told.push(format!("{seconds} seconds pass"));
        self.states = self.states.iter().map(|state| Model { age: state.age + seconds, ..*state }).collect();
    }

    /// Whether the row says what the model says.
    async fn check_row(&self) {
        let sql =
            format!("select generation, ended_at is not null from sessions where id = '{}'", self.account.session_id);
        let row = &self.database.rows(&sql).await[0];
        let (generation, is_ended): (i64, bool) = (row.get(0), row.get(1));
        let is_explained =
            self.states.iter().any(|state| (i64::from(state.generation), state.is_ended) == (generation, is_ended));
        assert!(
            is_explained,
            "history {}: {generation} {is_ended} {:?}\n{}",
            self.seed,
            self.states,
            self.told.join("\n")
        );
    }
}

/// Any requests with any tokens and keys: every reply is one that the model gives.
async fn play_anything(mut history: History, steps: usize) -> usize {
    let mut played = 0;
    while played < steps && history.states.iter().any(|state| !state.is_ended) {
        let newest = history.tokens.len() - 1;
        let requests: Vec<Request> = (0..=history.dice.below(4))
            .map(|_| {
                // Mostly one of the two newest, as anything older ends the session.
                let age = if history.dice.below(40) == 0 {
                    history.dice.below(newest + 1)
                } else {
                    history.dice.below(2).min(newest)
                };
                let token = (newest - age) as u32;
                let key = (history.dice.below(2) == 0).then(|| history.dice.below(3) as u32);
                if history.dice.below(60) == 0 { Request::Logout { token } } else { Request::Refresh { token, key } }
            })
            .collect();
        played += requests.len();
        history.play(requests).await;
        if history.dice.below(3) == 0 {
            history.pass(JUMP).await;
        }
    }
    history.check_row().await;
    played
}

/// Tabs that share a cookie: each sends the jar's token; answers are lost, come late and in any order; requests come twice, also
/// late. Nobody is ever signed out, and each window has at most one rotation.
async fn play_tabs(mut history: History, steps: usize) -> usize {
    let (mut played, mut jar, mut late) = (0, 0, Vec::new());
    while played < steps {
        let mut requests: Vec<Request> =
            (0..=history.dice.below(5)).map(|_| Request::Refresh { token: jar, key: None }).collect();
        // Requests of this window that were on their way for long, or that a proxy sent again.
        requests.extend(late.iter().filter(|_| history.dice.below(2) == 0).copied().collect::<Vec<_>>());
        late.extend_from_slice(&requests[..1]);
        played += requests.len();
        let rotations = history.tokens.len();
        let mut replies = history.play(requests).await;
        assert!(
            history.tokens.len() <= rotations + 1,
            "history {}: two rotations\n{}",
            history.seed,
            history.told.join("\n")
        );
        while !replies.is_empty() {
            let reply = replies.swap_remove(history.dice.below(replies.len()));
            let Reply::Token(token) = reply else {
                panic!("history {}: a tab was signed out: {reply:?}\n{}", history.seed, history.told.join("\n"))
            };
            if history.dice.below(4) != 0 {
                jar = token;
            }
        }
        if history.dice.below(3) == 0 {
            // One answer of each window arrives.
            jar = token_of(history.play(vec![Request::Refresh { token: jar, key: None }]).await[0]);
            history.pass(2 * JUMP).await;
            late.clear();
            let Reply::Token(token) = history.play(vec![Request::Refresh { token: jar, key: None }]).await[0] else {
                panic!("history {}: a tab was signed out after a while\n{}", history.seed, history.told.join("\n"))
            };
            jar = token;
        }
    }
    history.check_row().await;
    played
}

/// A phone keeps a key for each refresh before it sends it, loses answers, and asks again at any time with the same key.
async fn play_phone(mut history: History, steps: usize) -> usize {
    let (mut played, mut token) = (0, 0);
    for key in 0.. {
        loop {
            let requests = vec![Request::Refresh { token, key: Some(key) }; 1 + history.dice.below(2)];
            played += requests.len();
            let reply = history.play(requests).await[0];
            let Reply::Token(answered) = reply else {
                panic!("history {}: the phone was signed out: {reply:?}\n{}", history.seed, history.told.join("\n"))
            };
            let jumps = history.dice.below(4) as u64;
            history.pass(jumps * JUMP).await;
            if history.dice.below(2) == 0 {
                token = answered;
                break;
            }
        }
        if played >= steps {
            break;
        }
    }
    history.check_row().await;
    played
}

/// A thief copies the current token and uses it outside the window, before or after the owner. The session ends as replayed.
async fn play_thief(mut history: History, _steps: usize) -> usize {
    let (mut owner, mut played) = (0, 0);
    for _ in 0..=history.dice.below(4) {
        history.pass(2 * JUMP).await;
        owner = token_of(history.play(vec![Request::Refresh { token: owner, key: None }]).await[0]);
        played += 1;
    }
    let mut thief = owner;
    // Inside windows both may share the session unseen, as they do by the parent.
    for _ in 0..history.dice.below(6) {
        if history.dice.below(2) == 0 {
            history.pass(2 * JUMP).await;
        }
        let who = history.dice.below(3);
        let requests: Vec<Request> = [(owner, 1), (thief, 2)]
            .into_iter()
            .filter(|(_, other)| who != *other)
            .map(|(token, _)| Request::Refresh { token, key: None })
            .collect();
        played += requests.len();
        let replies = history.play(requests).await;
        if replies.contains(&Reply::Replayed) {
            history.check_row().await;
            return played;
        }
        match who {
            0 => (owner, thief) = (token_of(replies[0]), token_of(replies[1])),
            1 => thief = token_of(replies[0]),
            _ => owner = token_of(replies[0]),
        }
    }
    let mut replies = Vec::new();
    let owner_is_first = history.dice.below(2) == 0;
    for token in if owner_is_first { [owner, thief] } else { [thief, owner] } {
        history.pass(2 * JUMP).await;
        replies.extend(history.play(vec![Request::Refresh { token, key: None }]).await);
        played += 1;
    }
    assert!(replies.contains(&Reply::Replayed), "history {}: no notice\n{}", history.seed, history.told.join("\n"));
    history.check_row().await;
    played
}

fn token_of(reply: Reply) -> u32 {
    let Reply::Token(token) = reply else { panic!("no token: {reply:?}") };
    token
}

/// Plays histories one after another and side by side until there were enough steps; says how many there were.
async fn play_all(grace: u64, share: usize, play: impl AsyncFn(History, usize) -> usize + Copy) -> (usize, usize) {
    let steps = config::environment().remove("HISTORY_STEPS").map_or(STEPS, |steps| steps.parse().unwrap()) / share;
    let database = Arc::new(TestDatabase::migrated().await);
    let grace_setting = format!("{grace}s");
    let settings =
        [("CLAVIGER__REFRESH_TOKEN__GRACE", grace_setting.as_str()), ("CLAVIGER__THROTTLE__ENABLED", "false")];
    let mut servers = Vec::new();
    for _ in 0..PROCESSES {
        servers.push(ServerProcess::ready(&database.url, &settings).await);
    }
    let callers: Vec<Anonymous> = servers.iter().map(ServerProcess::anonymous).collect();
    let (played, histories) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
    let lane = async || {
        while played.get() < steps {
            histories.set(histories.get() + 1);
            let seed = histories.get() as u64;
            let history = History::start(seed, callers.clone(), Arc::clone(&database), grace).await;
            let more = play(history, STEPS_IN_HISTORY).await;
            played.set(played.get() + more);
        }
    };
    tokio::join!(lane(), lane(), lane(), lane(), lane(), lane());
    (played.get(), histories.get())
}

#[tokio::test(flavor = "multi_thread")]
async fn p5_every_reply_in_a_random_history_is_the_models() {
    let (steps, histories) = Box::pin(play_all(GRACE, 3, play_anything)).await;
    println!("{steps} steps in {histories} histories, 0 violations");
}

#[tokio::test(flavor = "multi_thread")]
async fn p4_every_reply_in_a_random_history_without_grace_is_the_models() {
    let (steps, histories) = Box::pin(play_all(0, 6, play_anything)).await;
    println!("{steps} steps in {histories} histories, 0 violations");
}

#[tokio::test(flavor = "multi_thread")]
async fn p0_tabs_that_share_a_cookie_are_never_signed_out() {
    let (steps, histories) = Box::pin(play_all(GRACE, 4, play_tabs)).await;
    println!("{steps} steps in {histories} histories of tabs, nobody signed out");
}

#[tokio::test(flavor = "multi_thread")]
async fn p4b_phone_with_keys_is_never_signed_out() {
    let (steps, histories) = Box::pin(play_all(GRACE, 6, play_phone)).await;
    println!("{steps} steps in {histories} histories of phones, nobody signed out");
}

#[tokio::test(flavor = "multi_thread")]
async fn p0_thief_outside_the_window_is_always_noticed() {
    let (steps, histories) = Box::pin(play_all(GRACE, 12, play_thief)).await;
    println!("{steps} steps in {histories} histories of thieves, each noticed");
}
