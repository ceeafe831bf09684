//! What is computed for a password, step by step, so that a wrong one takes the same work whatever it was compared with.

use std::time::Duration;

use bcrypt_lanes::{Input, Lanes};
use tokio::sync::oneshot;

use super::workers::Step;
use crate::domain::password::{Attempt, Other, Password, PasswordHash, Salt};

/// The outcome of comparing a password with a stored hash.
#[derive(Debug)]
pub enum Comparison {
    /// They do not belong together, or there was no stored hash.
    Wrong,
    /// They do.
    Right,
    /// They do, but the stored hash was made at a lower cost, or by another system; this one is as it is today.
    Weak(PasswordHash),
}

/// What comparing has come to before any bcrypt.
#[derive(Clone, Copy)]
pub(super) enum Found {
    /// The password is right; its hash is to be as it is today.
    Right,
    /// Not yet, with so many rounds' worth of work done.
    Nothing { spent: u32 },
}

/// How hashes are made today.
#[derive(Clone, Copy)]
pub(super) struct Today {
    pub(super) cost: u32,
    /// Of the next one.
    pub(super) salt: Salt,
}

/// A new hash.
pub(super) fn hash(password: &Password, today: Today, then: impl FnOnce(PasswordHash) + Send + 'static) -> Step {
    let Today { cost, salt } = today;
    let then = move |output: [u8; 24]| {
        then(PasswordHash::from_output(cost, &salt, &output));
        None
    };
    Step { key: password.key(), salt, rounds: 1 << cost, then: Box::new(then) }
}

/// Compares by these attempts. A right password whose hash is weak gets a new one. No step when the answer has been sent.
pub(super) fn compare(
    password: Password,
    attempts: Vec<Attempt>,
    found: Found,
    today: Today,
    reply: oneshot::Sender<Comparison>,
) -> Option<Step> {
    let under_way = |spent| UnderWay { password, attempts: attempts.into_iter(), spent, today, reply };
    match found {
        Found::Right => Some(under_way(0).renew()),
        Found::Nothing { spent } => under_way(spent).go_on(),
    }
}

/// A comparison.
struct UnderWay {
    password: Password,
    attempts: std::vec::IntoIter<Attempt>,
    /// Rounds so far.
    spent: u32,
    today: Today,
    reply: oneshot::Sender<Comparison>,
}

impl UnderWay {
    fn go_on(mut self) -> Option<Step> {
        let Some(Attempt { key, hash, counts, is_own }) = self.attempts.next() else { return self.refuse() };
        let (salt, rounds) = (hash.salt, 1 << hash.cost);
        let then = move |output: [u8; 24]| {
            self.spent += rounds;
            if !(counts && hash.has_digest(&output)) {
                return self.go_on();
            }
            if is_own && hash.cost >= self.today.cost {
                _ = self.reply.send(Comparison::Right);
                return None;
            }
            Some(self.renew())
        };
        Some(Step { key, salt, rounds, then: Box::new(then) })
    }

    /// Does what is missing to one hash at today's cost, or to two for a password that another system's hash would be compared
    /// with in two forms.
    fn refuse(self) -> Option<Step> {
        let rounds = ((1 << self.today.cost) * self.password.forms()).saturating_sub(self.spent);
        let Self { password, reply, .. } = self;
        if rounds == 0 {
            _ = reply.send(Comparison::Wrong);
            return None;
        }
        let then = |_output: [u8; 24]| {
            _ = reply.send(Comparison::Wrong);
            None
        };
        Some(Step { key: password.key(), salt: Salt::default(), rounds, then: Box::new(then) })
    }

    fn renew(self) -> Step {
        let Self { password, today, reply, .. } = self;
        hash(&password, today, move |hash| _ = reply.send(Comparison::Weak(hash)))
    }
}

/// Compares with another system's hash that is no bcrypt, on this thread.
///
/// What that costs is known only by time, and how fast this machine is at just this moment, too: some rounds of bcrypt tell
/// that, and count.
pub(super) fn compare_other(password: &Password, other: &Other, cost: u32) -> Found {
    let gauge = ((1_u32 << cost) / 64).max(1);
    let started = worked();
    if password.is_behind(other) {
        return Found::Right;
    }
    let gauged = worked();
    let mut lanes = Lanes::default();
    _ = lanes.start(Input { rounds: gauge, salt: Salt::default().as_bytes(), key: password.key().as_bytes() }, ());
    _ = lanes.advance(gauge);
    let now = worked();
    let nanos = |since| now.saturating_sub(since).as_nanos();
    let rounds = nanos(started) * u128::from(gauge) / nanos(gauged).max(1);
    Found::Nothing { spent: rounds.try_into().unwrap_or(u32::MAX) }
}

/// How long this thread has worked. Not by the clock on the wall, which runs on while others have the core.
fn worked() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::pbkdf2;
    use base64::prelude::{BASE64_STANDARD, Engine as _};

    use super::*;
    use crate::domain::password::Comparing;

    const COST: u32 = 5;

    /// Does a job by hand; gives what it said and how many rounds it took.
    fn done(password: &str, stored: Option<&PasswordHash>) -> (Comparison, u32) {
        let (reply, mut answer) = oneshot::channel();
        let password = Password::claimed(password);
        let (attempts, found) = match stored.map(|stored| password.comparing(stored)) {
            Some(Comparing::Other(other)) => (Vec::new(), compare_other(&password, &other, COST)),
            Some(Comparing::Bcrypt(attempts)) => (attempts, Found::Nothing { spent: 0 }),
            None => (Vec::new(), Found::Nothing { spent: 0 }),
        };
        let mut rounds = if let Found::Nothing { spent } = found { spent } else { 0 };
        let today = Today { cost: COST, salt: Salt::random().unwrap() };
        let mut next = compare(password, attempts, found, today, reply);
        while let Some(step) = next {
            assert!(step.rounds > 0, "a step that takes a lane and has nothing to do");
            rounds += step.rounds;
            let mut lanes = Lanes::default();
            let input = Input { rounds: step.rounds, salt: step.salt.as_bytes(), key: step.key.as_bytes() };
            lanes.start(input, step.then).map_err(drop).unwrap();
            let (then, output) = lanes.advance(u32::MAX).pop().unwrap();
            next = then(output);
        }
        (answer.try_recv().unwrap(), rounds)
    }

    fn bcrypt_of_others(password: &str, cost: u32) -> PasswordHash {
        PasswordHash::imported(&bcrypt::hash_with_salt(password, cost, [7; 16]).unwrap().to_string()).unwrap()
    }

    /// Of "right", as Django makes it, but far cheaper.
    fn pbkdf2_of_others() -> PasswordHash {
        let mut digest = [0; 32];
        let iterations = std::num::NonZeroU32::new(100).unwrap();
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, b"saltsalt", b"right", &mut digest);
        PasswordHash::imported(&format!("pbkdf2_sha256$100$saltsalt${}", BASE64_STANDARD.encode(digest))).unwrap()
    }

    #[test]
    fn a_wrong_password_takes_one_hash_at_todays_cost_whatever_it_was_compared_with() {
        let hash = |cost| Some(Password::claimed("right").hash(cost).unwrap());
        let foreign = |cost| Some(bcrypt_of_others("right", cost));
        let unreadable = |text: &str| Some(PasswordHash::from_stored(text.into()));
        let own = Password::claimed("right").hash(COST).unwrap();
        let dear = unreadable(&own.as_stored().replace("$2b$05$", "$2b$31$"));
        let none = Some(PasswordHash::none());
        for stored in [None, hash(4), hash(COST), foreign(4), foreign(COST), none, unreadable("nonsense"), dear] {
            let (outcome, rounds) = done("wrong", stored.as_ref());
            assert!(matches!(outcome, Comparison::Wrong));
            assert_eq!(rounds, 1 << COST, "{:?}", stored.map(|stored| stored.as_stored().to_owned()));
        }
        assert_eq!(done("wrong", hash(COST + 1).as_ref()).1, 2 << COST, "what was made dearer takes that");
        // Another system's hash would be compared with two forms of this.
        for stored in [None, hash(4), hash(COST + 1), foreign(COST)] {
            assert_eq!(done("wro\u{308}ng", stored.as_ref()).1, 2 << COST);
        }
    }

    #[test]
    fn a_wrong_password_for_another_kind_of_hash_takes_the_rest_of_the_work() {
        let (outcome, rounds) = done("wrong", Some(&pbkdf2_of_others()));
        assert!(matches!(outcome, Comparison::Wrong) && rounds >= 1 << COST, "{rounds}");
    }

    #[test]
    fn a_right_password_is_right_and_its_weak_hash_is_renewed() {
        let right = Password::claimed("right");
        assert!(matches!(done("right", Some(&right.hash(COST).unwrap())).0, Comparison::Right));
        assert!(matches!(done("right", Some(&right.hash(COST + 1).unwrap())).0, Comparison::Right));
        for weak in [right.hash(4).unwrap(), bcrypt_of_others("right", COST + 1), pbkdf2_of_others()] {
            let Comparison::Weak(renewed) = done("right", Some(&weak)).0 else { panic!("not renewed") };
            assert!(renewed.parts().unwrap().cost == COST && right.verify(&renewed));
        }
    }

    #[test]
    fn a_password_with_a_nul_in_it_is_behind_no_other_systems_hash() {
        // bcrypt itself would not tell them apart.
        let (outcome, rounds) = done("a\0a\0a", Some(&bcrypt_of_others("a", COST)));
        assert!(matches!(outcome, Comparison::Wrong) && rounds == 1 << COST);
    }
}
