//! Recognizing refresh tokens: which of several texts this service issued. Asks no database.

use uuid::Uuid;

use super::Auth;
use crate::domain::refresh_token::RefreshToken;

/// More sessions than one browser has by any accident. Each costs a statement.
const MAX_SESSIONS: usize = 4;

/// A refresh token that this service issued, whatever has become of its session.
pub struct Recognized {
    /// Its text.
    pub text: String,
    /// Whose session it is.
    pub user_id: Uuid,
}

impl Auth {
    /// The texts that are refresh tokens of this service: for each session its newest token, newest session first (their
    /// ids are of version 7). The flag says whether every session among `texts` is in the list, and nothing else was.
    ///
    /// An older token of the same session is left out: it would count as a replay.
    #[must_use]
    pub fn recognize(&self, texts: Vec<String>) -> (Vec<Recognized>, bool) {
        let keys = self.keys.current();
        let given = texts.len();
        let parse = |text: String| Some((keys.refresh_keys.parse(&text)?, text));
        let mut found: Vec<(RefreshToken, String)> = texts.into_iter().filter_map(parse).collect();
        let all_are_ours = found.len() == given;
        found.sort_by_key(|(token, _)| std::cmp::Reverse((token.session_id, token.generation)));
        found.dedup_by_key(|(token, _)| token.session_id);
        let is_complete = all_are_ours && found.len() <= MAX_SESSIONS;
        found.truncate(MAX_SESSIONS);
        let recognized = found.into_iter().map(|(token, text)| Recognized { text, user_id: token.user_id });
        (recognized.collect(), is_complete)
    }
}
