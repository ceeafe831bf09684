//! What is computed for a password, step by step, so that a wrong one takes the same work whatever it was compared with.

use std::time::Duration;

use bcrypt_lanes::{Input, Lanes};
use tokio::sync::oneshot;

use super::workers::{Job, Step};
use crate::domain::password::{Password, PasswordHash, Salt};

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

/// A new hash.
pub(super) fn hash(password: &Password, cost: u32, salt: Salt, reply: oneshot::Sender<PasswordHash>) -> Step {
    then_hash(password, cost, salt, move |hash| _ = reply.send(hash))
}

/// A comparison with a stored hash, or with none. A right password whose hash is weak gets a new one with `salt`.
pub(super) fn compare(
    password: Password,
    stored: Option<&PasswordHash>,
    cost: u32,
    salt: Salt,
    reply: oneshot::Sender<Comparison>,
) -> Job {
    let whole = 1 << cost;
    // Two hashes for a password that another system's hash would be compared with in two forms.
    let others = whole * (password.forms() - 1);
    let renew = move |password: &Password, reply: oneshot::Sender<Comparison>| {
        then_hash(password, cost, salt, move |hash| _ = reply.send(Comparison::Weak(hash)))
    };
    match stored {
        Some(foreign) if foreign.is_foreign() => {
            let foreign = foreign.clone();
            Job::Alone(Box::new(move || {
                let started = worked();
                if password.verify(&foreign) {
                    return Some(renew(&password, reply));
                }
                let done = rounds_since(started, &password, whole / 16);
                Some(refuse(&password, (whole + others).saturating_sub(done), reply))
            }))
        }
        stored => match stored.and_then(PasswordHash::parts) {
            Some(parts) => {
                let (salt, rounds) = (parts.salt, 1 << parts.cost);
                let key = password.key();
                let then = move |output: [u8; 24]| match parts.has_digest(&output) {
                    false => Some(refuse(&password, whole.saturating_sub(rounds) + others, reply)),
                    true if parts.cost < cost => Some(renew(&password, reply)),
                    true => {
                        _ = reply.send(Comparison::Right);
                        None
                    }
                };
                Job::Step(Step { key, salt, rounds, then: Box::new(then) })
            }
            None => Job::Step(refuse(&password, whole + others, reply)),
        },
    }
}

/// A hash at `cost`.
fn then_hash(password: &Password, cost: u32, salt: Salt, then: impl FnOnce(PasswordHash) + Send + 'static) -> Step {
    let then = move |output: [u8; 24]| {
        then(PasswordHash::from_output(cost, &salt, &output));
        None
    };
    Step { key: password.key(), salt, rounds: 1 << cost, then: Box::new(then) }
}

/// A decoy of so many rounds, after which the password is wrong.
fn refuse(password: &Password, rounds: u32, reply: oneshot::Sender<Comparison>) -> Step {
    let then = |_decoy: [u8; 24]| {
        _ = reply.send(Comparison::Wrong);
        None
    };
    Step { key: password.key(), salt: Salt::default(), rounds, then: Box::new(then) }
}

/// How many rounds of bcrypt this thread could have done since `started`. What other systems' hashes cost is known only by time,
/// and how fast this machine is at just this moment, too: `gauge` rounds tell that, and count.
fn rounds_since(started: Duration, password: &Password, gauge: u32) -> u32 {
    let gauged = worked();
    let mut lanes = Lanes::default();
    _ = lanes.start(Input { rounds: gauge, salt: Salt::default().as_bytes(), key: password.key().as_bytes() }, ());
    _ = lanes.advance(gauge);
    let now = worked();
    let nanos = |since| now.saturating_sub(since).as_nanos();
    let rounds = nanos(started) * u128::from(gauge) / nanos(gauged).max(1);
    rounds.try_into().unwrap_or(u32::MAX)
}

/// How long this thread has worked. Not by the clock on the wall, which runs on while others have the core.
fn worked() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COST: u32 = 5;

    /// Does a job by hand; gives what it said and how many rounds it took.
    fn done(password: &str, stored: Option<&PasswordHash>) -> (Comparison, u32) {
        let (reply, mut answer) = oneshot::channel();
        let job = compare(Password::claimed(password), stored, COST, Salt::random().unwrap(), reply);
        let mut next = match job {
            Job::Step(step) => Some(step),
            Job::Alone(work) => work(),
        };
        let mut rounds = 0;
        while let Some(step) = next {
            rounds += step.rounds;
            let mut lanes = Lanes::default();
            let input = Input { rounds: step.rounds, salt: step.salt.as_bytes(), key: step.key.as_bytes() };
            lanes.start(input, step.then).map_err(drop).unwrap();
            let (then, output) = lanes.advance(u32::MAX).pop().unwrap();
            next = then(output);
        }
        (answer.try_recv().unwrap(), rounds)
    }

    #[test]
    fn a_wrong_password_takes_one_hash_at_todays_cost_whatever_it_was_compared_with() {
        let hash = |cost| Some(Password::claimed("right").hash(cost).unwrap());
        let unreadable = |text: &str| Some(PasswordHash::from_stored(text.into()));
        let own = Password::claimed("right").hash(COST).unwrap();
        let dear = own.as_stored().replace("$2b$05$", "$2b$31$");
        for stored in [None, hash(4), hash(COST), Some(PasswordHash::none()), unreadable("nonsense"), unreadable(&dear)]
        {
            let (outcome, rounds) = done("wrong", stored.as_ref());
            assert!(matches!(outcome, Comparison::Wrong));
            assert_eq!(rounds, 1 << COST, "{:?}", stored.map(|stored| stored.as_stored().to_owned()));
        }
        assert_eq!(done("wrong", hash(COST + 1).as_ref()).1, 2 << COST, "what was made dearer takes that");
        let decomposed = "wro\u{308}ng";
        assert_eq!(done(decomposed, None).1, 2 << COST, "another system's hash would be compared with two forms");
        assert_eq!(done(decomposed, hash(4).as_ref()).1, 2 << COST);
    }

    #[test]
    fn a_right_password_is_right_and_its_weak_hash_is_renewed() {
        let right = Password::claimed("right");
        assert!(matches!(done("right", Some(&right.hash(COST).unwrap())).0, Comparison::Right));
        assert!(matches!(done("right", Some(&right.hash(COST + 1).unwrap())).0, Comparison::Right));
        let foreign =
            PasswordHash::imported(&bcrypt::hash_with_salt("right", 4, [7; 16]).unwrap().to_string()).unwrap();
        for weak in [right.hash(4).unwrap(), foreign] {
            let Comparison::Weak(renewed) = done("right", Some(&weak)).0 else { panic!("not renewed") };
            assert!(renewed.parts().unwrap().cost == COST && right.verify(&renewed));
        }
    }

    #[test]
    fn a_wrong_password_for_another_systems_hash_takes_the_rest_of_the_work() {
        let foreign =
            PasswordHash::imported(&bcrypt::hash_with_salt("right", 4, [7; 16]).unwrap().to_string()).unwrap();
        let (outcome, rounds) = done("wrong", Some(&foreign));
        assert!(matches!(outcome, Comparison::Wrong));
        assert!(rounds < 1 << COST, "what was done for the hash is not done again");
    }
}
