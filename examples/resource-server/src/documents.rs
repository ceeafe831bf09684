//! What was found out about texts, and whose it is. The texts themselves are not kept.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use time::OffsetDateTime;
use uuid::Uuid;

/// As many as one user has, the newest; and as many as all have together.
const MOST_OF_A_USER: usize = 100;
const MOST: usize = 10_000;
const WORDS_A_MINUTE: usize = 230;

/// What was found out about a text.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Document {
    /// None if it is not kept.
    id: Option<Uuid>,
    title: String,
    words: usize,
    characters: usize,
    reading_seconds: usize,
    kept: bool,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
}

/// The histories of all users, oldest first.
#[derive(Default)]
pub(crate) struct Documents(Mutex<VecDeque<Kept>>);

struct Kept {
    id: Uuid,
    owner: Uuid,
    document: Document,
}

/// Somebody's document, for somebody who asks for it.
pub(crate) struct Found {
    /// Whose it is.
    pub(crate) owner: Uuid,
    pub(crate) document: Document,
}

impl Document {
    /// Looks at a text.
    pub(crate) fn of(title: String, text: &str) -> Self {
        let words = text.split_whitespace().count();
        Self {
            id: None,
            title,
            words,
            characters: text.chars().count(),
            reading_seconds: (words * 60).div_ceil(WORDS_A_MINUTE),
            kept: false,
            created_at: OffsetDateTime::now_utc(),
        }
    }
}

impl Documents {
    /// Keeps it in a user's history, under an id that nobody can guess.
    pub(crate) fn keep(&self, owner: Uuid, document: Document) -> Document {
        let id = Uuid::new_v4();
        let document = Document { id: Some(id), kept: true, ..document };
        self.change(|all| {
            if all.iter().filter(|kept| kept.owner == owner).count() >= MOST_OF_A_USER {
                all.iter().position(|kept| kept.owner == owner).and_then(|oldest| all.remove(oldest));
            }
            if all.len() >= MOST {
                all.pop_front();
            }
            all.push_back(Kept { id, owner, document: document.clone() });
        });
        document
    }

    /// A user's history, newest first.
    pub(crate) fn list(&self, owner: Uuid) -> Vec<Document> {
        self.change(|all| {
            all.iter().rev().filter(|kept| kept.owner == owner).map(|kept| kept.document.clone()).collect()
        })
    }

    /// A document, whosever it is.
    pub(crate) fn find(&self, id: Uuid) -> Option<Found> {
        self.change(|all| {
            let kept = all.iter().find(|kept| kept.id == id)?;
            Some(Found { owner: kept.owner, document: kept.document.clone() })
        })
    }

    /// Forgets it.
    pub(crate) fn delete(&self, id: Uuid) {
        self.change(|all| all.retain(|kept| kept.id != id));
    }

    fn change<T>(&self, change: impl FnOnce(&mut VecDeque<Kept>) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADA: Uuid = Uuid::from_u128(1);
    const BOB: Uuid = Uuid::from_u128(2);

    fn titles(documents: &Documents, owner: Uuid) -> Vec<String> {
        documents.list(owner).into_iter().map(|document| document.title).collect()
    }

    #[test]
    fn a_text_is_counted() {
        let found = |text: &str| {
            let document = Document::of("A".to_owned(), text);
            (document.words, document.characters, document.reading_seconds)
        };
        assert_eq!(found(" für Elise,\n zwei "), (3, 18, 1));
        assert_eq!(found(&"word ".repeat(460)), (460, 2300, 120));
        assert_eq!(found(" "), (0, 1, 0));
    }

    #[test]
    fn a_history_keeps_the_newest_of_each_user_and_of_all() {
        let documents = Documents::default();
        let keep = |owner: Uuid, count: usize| {
            for number in 0..count {
                documents.keep(owner, Document::of(number.to_string(), ""));
            }
        };
        keep(BOB, 1);
        keep(ADA, MOST_OF_A_USER + 2);
        let ada = titles(&documents, ADA);
        assert_eq!((ada.len(), ada[0].as_str(), ada[99].as_str()), (MOST_OF_A_USER, "101", "2"));
        assert_eq!(titles(&documents, BOB), ["0"]);
        for stranger in 10..110 {
            keep(Uuid::from_u128(stranger), MOST_OF_A_USER);
        }
        assert!(titles(&documents, BOB).is_empty() && titles(&documents, ADA).is_empty());
        assert_eq!(documents.0.lock().unwrap().len(), MOST);
    }

    #[test]
    fn what_is_deleted_is_gone_and_nothing_else() {
        let documents = Documents::default();
        let [one, other] = ["1", "2"].map(|title| documents.keep(ADA, Document::of(title.to_owned(), "")).id.unwrap());
        documents.delete(one);
        assert!(documents.find(one).is_none() && documents.find(other).is_some_and(|found| found.owner == ADA));
        assert_eq!(titles(&documents, ADA), ["2"]);
    }
}
