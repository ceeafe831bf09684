//! The queue in front of the hashing threads: fair between networks and accounts, bounded by the time that a newcomer waits.
//!
//! A flow is everything that one network, or one account, has in the queue. Flows take turns (round robin), so a flood delays
//! others by one turn. When the queue is full, the newest job of the longest flow gives way to a newcomer of a shorter one.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use ipnet::IpNet;
use uuid::Uuid;

/// Who shares a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::auth) enum Flow {
    /// An account, for its own devices and networks.
    Account(Uuid),
    /// A network of strangers.
    Network(IpNet),
}

/// The two kinds of flows. Each gets every second lane while both wait, so strangers never fill the lanes of known devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Known,
    Stranger,
}

impl Flow {
    fn class(self) -> Class {
        match self {
            Self::Account(_) => Class::Known,
            Self::Network(_) => Class::Stranger,
        }
    }
}

/// Jobs that wait, and slots of jobs that are about to come.
pub(super) struct FairQueue<T> {
    known: ClassQueue<T>,
    strangers: ClassQueue<T>,
    next: Class,
}

/// The flows of one class.
struct ClassQueue<T> {
    flows: HashMap<Flow, FlowQueue<T>>,
    /// The flows with jobs, in the order of their turns.
    turns: VecDeque<Flow>,
    jobs: usize,
    slots: usize,
}

struct FlowQueue<T> {
    jobs: VecDeque<T>,
    /// Slots without a job yet, and the jobs.
    slots: usize,
}

/// How much may wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Jobs that are done at once.
    pub(super) lanes: usize,
    /// How long one takes.
    pub(super) hash_time: Duration,
    /// The longest wait.
    pub(super) max_wait: Duration,
}

/// Jobs that may wait, however fast they are done: each holds a request of up to 16 KiB and its connection.
pub(super) const MAX_SLOTS: usize = 1_024;

/// Why there is no slot.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full {
    /// How long the queue takes to be done with half of what waits.
    pub(super) retry_after: Duration,
}

impl Bounds {
    /// How long a newcomer waits behind so many.
    fn wait(self, slots: usize) -> Duration {
        let rounds = slots / self.lanes.max(1);
        self.hash_time.saturating_mul(u32::try_from(rounds).unwrap_or(u32::MAX))
    }

    fn admit(self, slots: usize) -> bool {
        slots < MAX_SLOTS && self.wait(slots) <= self.max_wait
    }
}

impl<T> Default for FairQueue<T> {
    fn default() -> Self {
        Self { known: ClassQueue::default(), strangers: ClassQueue::default(), next: Class::Known }
    }
}

impl<T> Default for ClassQueue<T> {
    fn default() -> Self {
        Self { flows: HashMap::new(), turns: VecDeque::new(), jobs: 0, slots: 0 }
    }
}

impl<T> FairQueue<T> {
    /// Reserves a slot for a job of `flow`; gives the job that was shed for it, if one was.
    ///
    /// # Errors
    /// [`Full`] when a newcomer would wait too long, and no flow is longer than its own.
    pub(super) fn reserve(&mut self, flow: Flow, bounds: Bounds) -> Result<Option<T>, Full> {
        let shed = match self.victim(flow, bounds)? {
            Some(longest) => Some(self.of(longest).pop_newest(longest).ok_or_else(|| self.full(bounds))?),
            None => None,
        };
        self.readmit(flow);
        Ok(shed)
    }

    /// Whether [`FairQueue::reserve`] would find a slot now.
    ///
    /// # Errors
    /// [`Full`].
    pub(super) fn check(&self, flow: Flow, bounds: Bounds) -> Result<(), Full> {
        self.victim(flow, bounds).map(|_victim| ())
    }

    /// Reserves a slot for the next job of somebody who had one: who was let in is not turned away half-way.
    pub(super) fn readmit(&mut self, flow: Flow) {
        let flows = self.of(flow);
        flows.slots += 1;
        flows.flows.entry(flow).or_default().slots += 1;
    }

    /// Gives back a slot that no job was put into.
    pub(super) fn release(&mut self, flow: Flow) {
        self.of(flow).release(flow);
    }

    /// Puts a job into a slot of its flow.
    pub(super) fn push(&mut self, flow: Flow, job: T) {
        let flows = self.of(flow);
        let queue = flows.flows.entry(flow).or_default();
        queue.jobs.push_back(job);
        flows.jobs += 1;
        if queue.jobs.len() == 1 {
            flows.turns.push_back(flow);
        }
    }

    /// The next job, in turns between the classes, and between the flows of each.
    pub(super) fn pop(&mut self) -> Option<T> {
        let (first, second) = match self.next {
            Class::Known => (&mut self.known, &mut self.strangers),
            Class::Stranger => (&mut self.strangers, &mut self.known),
        };
        let job = first.pop().or_else(|| second.pop());
        self.next = match self.next {
            Class::Known => Class::Stranger,
            Class::Stranger => Class::Known,
        };
        job
    }

    /// How many jobs wait.
    pub(super) fn len(&self) -> usize {
        self.known.jobs + self.strangers.jobs
    }

    /// How many slots each class has.
    pub(super) fn slots(&self) -> (usize, usize) {
        (self.known.slots, self.strangers.slots)
    }

    /// The flow that gives way to a newcomer; none while there is room.
    fn victim(&self, newcomer: Flow, bounds: Bounds) -> Result<Option<Flow>, Full> {
        if bounds.admit(self.known.slots + self.strangers.slots) {
            return Ok(None);
        }
        let with_newcomer = |class| {
            let flows = if class == Class::Known { &self.known } else { &self.strangers };
            flows.slots + usize::from(newcomer.class() == class)
        };
        let longer =
            if with_newcomer(Class::Known) > with_newcomer(Class::Stranger) { &self.known } else { &self.strangers };
        let longest =
            longer.flows.iter().filter(|(_, queue)| !queue.jobs.is_empty()).max_by_key(|(_, queue)| queue.slots);
        let own = self.flows(newcomer).flows.get(&newcomer).map_or(0, |queue| queue.slots);
        let same_class = longest.is_some_and(|(flow, _)| flow.class() == newcomer.class());
        match longest {
            // Within its own class a newcomer displaces only a flow that stays at least as long as its own.
            Some((flow, queue)) if !same_class || queue.slots > own + 1 => Ok(Some(*flow)),
            _ => Err(self.full(bounds)),
        }
    }

    fn full(&self, bounds: Bounds) -> Full {
        Full { retry_after: bounds.wait(self.known.slots + self.strangers.slots) / 2 }
    }

    fn flows(&self, flow: Flow) -> &ClassQueue<T> {
        match flow.class() {
            Class::Known => &self.known,
            Class::Stranger => &self.strangers,
        }
    }

    fn of(&mut self, flow: Flow) -> &mut ClassQueue<T> {
        match flow.class() {
            Class::Known => &mut self.known,
            Class::Stranger => &mut self.strangers,
        }
    }
}

impl<T> Default for FlowQueue<T> {
    fn default() -> Self {
        Self { jobs: VecDeque::new(), slots: 0 }
    }
}

impl<T> ClassQueue<T> {
    fn pop(&mut self) -> Option<T> {
        let flow = self.turns.pop_front()?;
        let queue = self.flows.get_mut(&flow)?;
        let job = queue.jobs.pop_front();
        self.jobs -= usize::from(job.is_some());
        if !queue.jobs.is_empty() {
            self.turns.push_back(flow);
        }
        self.release(flow);
        job
    }

    fn pop_newest(&mut self, flow: Flow) -> Option<T> {
        let queue = self.flows.get_mut(&flow)?;
        let job = queue.jobs.pop_back();
        self.jobs -= usize::from(job.is_some());
        if queue.jobs.is_empty() {
            self.turns.retain(|other| *other != flow);
        }
        self.release(flow);
        job
    }

    fn release(&mut self, flow: Flow) {
        if let Entry::Occupied(mut queue) = self.flows.entry(flow) {
            self.slots = self.slots.saturating_sub(1);
            queue.get_mut().slots = queue.get().slots.saturating_sub(1);
            if queue.get().slots == 0 && queue.get().jobs.is_empty() {
                queue.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds =
        Bounds { lanes: 4, hash_time: Duration::from_millis(328), max_wait: Duration::from_secs(10) };

    fn network(number: u8) -> Flow {
        Flow::Network(IpNet::from(std::net::IpAddr::from([192, 0, 2, number])))
    }

    fn account(number: u128) -> Flow {
        Flow::Account(Uuid::from_u128(number))
    }

    /// Puts jobs named after their flow into the queue until it refuses one; says how many it took and how many it shed.
    fn fill(queue: &mut FairQueue<Flow>, flow: Flow, most: usize) -> (usize, Vec<Flow>) {
        let mut shed = Vec::new();
        for taken in 0..most {
            match queue.reserve(flow, BOUNDS) {
                Ok(victim) => shed.extend(victim),
                Err(Full { .. }) => return (taken, shed),
            }
            queue.push(flow, flow);
        }
        (most, shed)
    }

    #[test]
    fn the_queue_is_bounded_by_the_time_a_newcomer_waits() {
        let mut queue = FairQueue::default();
        assert_eq!(fill(&mut queue, network(1), 1_000), (124, vec![]), "30 rounds of 328 ms are below 10 s");
        assert_eq!(queue.check(network(1), BOUNDS), Err(Full { retry_after: BOUNDS.hash_time * 31 / 2 }));
        queue.pop();
        assert_eq!(queue.check(network(1), BOUNDS), Ok(()));

        let fast = Bounds { hash_time: Duration::from_micros(1), ..BOUNDS };
        while queue.reserve(network(1), fast).is_ok() {}
        assert_eq!(queue.slots(), (0, MAX_SLOTS), "fast hashes are bounded by memory");
    }

    #[test]
    fn a_slow_hash_admits_one_job_for_each_lane_and_no_more() {
        let slow = Bounds { hash_time: Duration::from_mins(1), ..BOUNDS };
        let mut queue = FairQueue::<()>::default();
        for _ in 0..slow.lanes {
            assert_eq!(queue.reserve(network(1), slow), Ok(None));
        }
        assert!(queue.reserve(network(1), slow).is_err());
    }

    #[test]
    fn flows_take_turns_and_so_do_classes() {
        let mut queue = FairQueue::default();
        fill(&mut queue, network(1), 10);
        fill(&mut queue, network(2), 2);
        fill(&mut queue, account(1), 3);
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).take(8).collect();
        let [one, two, ada] = [network(1), network(2), account(1)];
        assert_eq!(order, [ada, one, ada, two, ada, one, two, one]);
        assert_eq!((queue.len(), queue.slots()), (7, (0, 7)));
    }

    #[test]
    fn a_newcomer_of_a_short_flow_displaces_the_newest_job_of_the_longest() {
        let mut queue = FairQueue::default();
        let (filled, _) = fill(&mut queue, network(1), 1_000);
        let (taken, shed) = fill(&mut queue, network(2), 1_000);
        assert_eq!((taken, shed.len()), (filled / 2, filled / 2), "two networks have half of the queue each");
        assert!(shed.iter().all(|flow| *flow == network(1)));
        let (taken, shed) = fill(&mut queue, account(1), 1_000);
        assert_eq!((taken, shed.len()), (filled / 2, filled / 2), "strangers leave half of the queue to known devices");
        assert!(shed.iter().all(|flow| *flow != account(1)));
        assert_eq!(fill(&mut queue, account(2), 1_000).1, vec![account(1); filled / 4]);
        assert_eq!(fill(&mut queue, network(3), 1).1.len(), 1);
        assert_eq!(queue.len(), filled);
    }

    #[test]
    fn slots_that_are_given_back_leave_nothing_behind() {
        let mut queue = FairQueue::default();
        fill(&mut queue, network(1), 2);
        queue.reserve(account(1), BOUNDS).unwrap();
        queue.release(account(1));
        while queue.pop().is_some() {}
        assert_eq!((queue.len(), queue.slots()), (0, (0, 0)));
        assert!(queue.known.flows.is_empty() && queue.strangers.flows.is_empty() && queue.strangers.turns.is_empty());
    }
}
