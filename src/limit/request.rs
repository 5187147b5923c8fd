//! What one request does to all limits that apply to it: all, or nothing.
//!
//! First every limit is looked at; if one says no, none is touched, so that a flood of refused
//! requests costs other limits nothing. Then each is taken from. One that says no only then (a race
//! was lost) has the others give back what they gave: at most the time in between is lost of a
//! token. Limits in shadow are taken from last, each for itself, and never say no.
//!
//! Of what is known only afterwards an estimate is taken: the [`Debits`] tell what, until they are
//! settled. Those that never are stay taken: nobody gets more because somebody died.

use std::sync::Arc;

use smallvec::SmallVec;

use super::bucket::{Bucket, Fill};
use super::id::Id;
use super::quota::{Left, Quota};
use super::store::Store;
use super::table::{Kind, NotDone, Seen, Times};
use super::unit::{Costs, Unit};

/// What a limit consists of; at least one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    pub bucket: Option<Bucket>,
    pub quota: Option<Quota>,
    /// Requests at once.
    pub at_once: Option<u64>,
}

/// A limit that applies to a request; what came of it.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'l> {
    pub rules: &'l Rules,
    pub id: Id,
    pub unit: Unit,
    /// How much of the unit; 1 for a request.
    pub cost: u64,
    /// It is counted, and never refuses.
    pub shadow: bool,
    pub standing: Standing,
    /// Why it refused, or would have.
    pub refused: Option<Why>,
}

/// How a limit stands after a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    pub bucket: Option<Level>,
    pub quota: Option<Level>,
}

/// What is left, and when all of it will be again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    pub left: u64,
    /// In milliseconds, rounded up.
    pub full_in_ms: u64,
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    Rate,
    Quota,
    Concurrency,
    /// There is no slot to count in.
    Full,
}

/// A request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Which of the limits did.
    pub at: usize,
    pub why: Why,
    /// Milliseconds after which none of them would for the same reason, rounded up; `None`: that
    /// will never be, one of them is not so large.
    pub wait_ms: Option<u64>,
}

/// What a request has taken.
#[derive(Default)]
pub struct Taken<'l> {
    pub holds: Holds,
    pub debits: Debits<'l>,
}

/// What was taken of what is known only afterwards.
#[derive(Default)]
pub struct Debits<'l>(Vec<Debit<'l>>);

struct Debit<'l> {
    id: Id,
    kind: Kind,
    /// What it was taken by: it is settled by the same, whatever a reload does meanwhile.
    rules: &'l Rules,
    unit: Unit,
    reserved: u64,
    /// What the taking left behind.
    state: u128,
}

/// Places among the requests at once; given back when dropped.
#[derive(Default)]
pub struct Holds(Vec<Hold>);

struct Hold {
    store: Arc<Store>,
    id: Id,
}

/// One change that a request asks for.
#[derive(Clone, Copy)]
struct Step {
    ask: usize,
    kind: Kind,
    /// Where its state was seen, if it has been looked at and there was one.
    seen: Option<Seen>,
    /// The state that is to be written, once it has been looked at; the one it left, at last.
    state: u128,
}

/// A rule's no.
struct No {
    why: Why,
    /// Nanoseconds; `None`: for ever.
    wait: Option<u64>,
}

type Steps = SmallVec<[Step; 4]>;

const SECOND: u64 = 1_000_000_000;
const MILLISECOND: u64 = 1_000_000;

/// Asks all limits; what must be held while the request lasts, and settled after. `clock` is read
/// once, and again to give back.
///
/// # Errors
/// When a limit says no; then nothing has been taken.
pub fn take<'l>(
    store: &Arc<Store>,
    asks: &mut [Ask<'l>],
    clock: impl Fn() -> Times,
) -> Result<Taken<'l>, Refusal> {
    let now = clock();
    let (mut steps, mut taken) = (Steps::new(), Taken::default());
    for (at, ask) in asks.iter().enumerate().filter(|(_, ask)| !ask.shadow) {
        add_steps(&mut steps, at, ask.rules);
    }
    all_or_nothing(store, asks, &mut steps, now, &clock, &mut taken)?;
    for at in 0..asks.len() {
        if asks[at].shadow {
            steps.clear();
            add_steps(&mut steps, at, asks[at].rules);
            // What it says stands in `asks`.
            let _ = all_or_nothing(store, asks, &mut steps, now, &clock, &mut taken);
        }
    }
    Ok(taken)
}

/// Corrects what was taken to what it came to: gives the rest back, or takes more, also where there
/// is no more. `clock` is read once if there is anything to correct, and again where another was
/// faster.
pub fn settle(store: &Store, debits: Debits<'_>, costs: &Costs, clock: impl Fn() -> Times) {
    let Debits(debits) = debits;
    let mut due: SmallVec<[(&Debit<'_>, u64, Option<Seen>); 4]> = SmallVec::new();
    for debit in &debits {
        let used = costs.of(debit.unit);
        if used != debit.reserved {
            due.push((debit, used, store.table(debit.kind).find(debit.id, debit.kind)));
        }
    }
    if due.is_empty() {
        return;
    }
    // The clock is read after the states: whoever took before our changes did so earlier.
    let now = clock();
    for &(debit, used, seen) in &due {
        debit.settle(store, used, (seen, now), &clock);
    }
}

fn add_steps(steps: &mut Steps, ask: usize, rules: &Rules) {
    let mut add = |is: bool, kind| {
        if is {
            steps.push(Step { ask, kind, seen: None, state: 0 });
        }
    };
    add(rules.at_once.is_some(), Kind::Held);
    add(rules.bucket.is_some(), Kind::Bucket);
    add(rules.quota.is_some(), Kind::Quota);
}

/// Makes all these steps or none, and tells how their limits stand.
fn all_or_nothing<'l>(
    store: &Arc<Store>,
    asks: &mut [Ask<'l>],
    steps: &mut [Step],
    now: Times,
    clock: &impl Fn() -> Times,
    taken: &mut Taken<'l>,
) -> Result<(), Refusal> {
    // One alone is taken from without a look: it is all or nothing by itself.
    let looked = if steps.len() > 1 { look(store, asks, steps, now) } else { Ok(()) };
    let done = looked.and_then(|()| commit(store, asks, steps, now, clock, taken));
    for step in steps {
        let ask = &mut asks[step.ask];
        if done.is_err() {
            let found = store.table(step.kind).find(ask.id, step.kind);
            step.state = found.map_or(0, |seen| seen.state());
        }
        stand(ask, step.kind, step.state, now);
    }
    done
}

/// Whether all would say yes now.
fn look(
    store: &Store,
    asks: &mut [Ask<'_>],
    steps: &mut [Step],
    now: Times,
) -> Result<(), Refusal> {
    let mut refusal: Option<Refusal> = None;
    for step in steps {
        let ask = &mut asks[step.ask];
        step.seen = store.table(step.kind).find(ask.id, step.kind);
        let state = step.seen.map_or(0, |seen| seen.state());
        match judge(step.kind, ask.rules, ask.cost, state, now) {
            Ok(state) => step.state = state,
            Err(no) => {
                let found = refused(ask, step.ask, &no);
                let first = refusal.unwrap_or(found);
                let longest = first.wait_ms.zip(found.wait_ms).map(|(one, two)| one.max(two));
                refusal = Some(Refusal { wait_ms: longest, ..first });
            }
        }
    }
    refusal.map_or(Ok(()), Err)
}

/// Takes from all, or from none.
fn commit<'l>(
    store: &Arc<Store>,
    asks: &mut [Ask<'l>],
    steps: &mut [Step],
    now: Times,
    clock: &impl Fn() -> Times,
    taken: &mut Taken<'l>,
) -> Result<(), Refusal> {
    let before = (taken.holds.0.len(), taken.debits.0.len());
    for at in 0..steps.len() {
        let step = &mut steps[at];
        let ask = &mut asks[step.ask];
        match step.make(store, ask, now) {
            Ok(()) if step.kind == Kind::Held => {
                taken.holds.0.push(Hold { store: store.clone(), id: ask.id });
            }
            Ok(()) if ask.unit != Unit::Requests => {
                let (id, kind, state) = (ask.id, step.kind, step.state);
                let (rules, unit, reserved) = (ask.rules, ask.unit, ask.cost);
                taken.debits.0.push(Debit { id, kind, rules, unit, reserved, state });
            }
            Ok(()) => {}
            Err(no) => {
                let refusal = refused(ask, step.ask, &no);
                taken.holds.0.truncate(before.0);
                taken.debits.0.truncate(before.1);
                for step in &steps[..at] {
                    give_back(store, &asks[step.ask], step, now, clock);
                }
                return Err(refusal);
            }
        }
    }
    Ok(())
}

fn refused(ask: &mut Ask<'_>, at: usize, no: &No) -> Refusal {
    ask.refused.get_or_insert(no.why);
    Refusal { at, why: no.why, wait_ms: no.wait.map(|ns| ns.div_ceil(MILLISECOND).max(1)) }
}

fn give_back(store: &Store, ask: &Ask<'_>, step: &Step, taken: Times, clock: &impl Fn() -> Times) {
    let (table, rules) = (store.table(step.kind), ask.rules);
    match (step.kind, &rules.bucket, &rules.quota) {
        // The clock is read after the state: whoever took before our change did so earlier.
        (Kind::Bucket, Some(bucket), _) => table.amend(ask.id, step.kind, |state| {
            bucket.give_back(state, taken.boot, clock().boot, ask.cost)
        }),
        (Kind::Quota, _, Some(quota)) => table.amend(ask.id, step.kind, |state| {
            quota.settle(state, taken.wall, step.state, (ask.cost, 0))
        }),
        // A hold gives itself back.
        _ => {}
    }
}

/// The state after this request, if there is enough.
fn judge(kind: Kind, rules: &Rules, cost: u64, state: u128, now: Times) -> Result<u128, No> {
    match (kind, rules) {
        (Kind::Bucket, Rules { bucket: Some(bucket), .. }) => {
            let taken = bucket.take(state, now.boot, cost);
            taken.map_err(|short| No { why: Why::Rate, wait: short.wait_ns })
        }
        (Kind::Quota, Rules { quota: Some(quota), .. }) => {
            quota.take(state, now.wall, cost).map_err(|spent| {
                let wait = spent.wait.map(|seconds| seconds.saturating_mul(SECOND));
                No { why: Why::Quota, wait }
            })
        }
        (Kind::Held, Rules { at_once: Some(max), .. }) if state < u128::from(*max) => Ok(state + 1),
        (Kind::Held, Rules { at_once: Some(_), .. }) => {
            Err(No { why: Why::Concurrency, wait: Some(SECOND) })
        }
        _ => unreachable!("steps are made of the rules there are"),
    }
}

/// Notes how a limit stands in this state.
fn stand(ask: &mut Ask<'_>, kind: Kind, state: u128, now: Times) {
    match (kind, &ask.rules.bucket, &ask.rules.quota) {
        (Kind::Bucket, Some(bucket), _) => {
            let Fill { tokens, full_in_ns } = bucket.peek(state, now.boot);
            let full_in_ms = full_in_ns.div_ceil(MILLISECOND);
            ask.standing.bucket = Some(Level { left: tokens, full_in_ms });
        }
        (Kind::Quota, _, Some(quota)) => {
            let Left { count, ends_in } = quota.peek(state, now.wall);
            let full_in_ms = ends_in.saturating_mul(1000);
            ask.standing.quota = Some(Level { left: count, full_in_ms });
        }
        _ => {}
    }
}

// === impl Ask ===

impl<'l> Ask<'l> {
    /// One request of this id.
    #[must_use]
    pub fn new(rules: &'l Rules, id: Id, shadow: bool) -> Ask<'l> {
        Ask::metered(rules, id, shadow, (Unit::Requests, 1))
    }

    /// So much of a unit.
    #[must_use]
    pub fn metered(rules: &'l Rules, id: Id, shadow: bool, (unit, cost): (Unit, u64)) -> Ask<'l> {
        Ask { rules, id, unit, cost, shadow, standing: Standing::default(), refused: None }
    }
}

// === impl Level ===

impl Level {
    /// The same in seconds, rounded up.
    #[must_use]
    pub fn full_in(&self) -> u64 {
        self.full_in_ms.div_ceil(1000)
    }
}

// === impl Refusal ===

impl Refusal {
    /// The wait in seconds, rounded up.
    #[must_use]
    pub fn retry_after(&self) -> Option<u64> {
        self.wait_ms.map(|ms| ms.div_ceil(1000))
    }
}

// === impl Step ===

impl Step {
    /// Writes the state it was looked at for, or what the rule says of the one that is there now.
    fn make(&mut self, store: &Store, ask: &Ask<'_>, now: Times) -> Result<(), No> {
        let (table, id) = (store.table(self.kind), (ask.id, self.kind));
        if self.seen.is_some_and(|seen| table.replace(seen, id, self.state)) {
            return Ok(());
        }
        let rule = |state| judge(self.kind, ask.rules, ask.cost, state, now);
        match table.change(id, now, rule) {
            Ok(done) => {
                if done.evicted {
                    store.count_evicted();
                }
                self.state = done.state;
                Ok(())
            }
            Err(NotDone::Refused(no)) => Err(no),
            Err(NotDone::Full) => {
                store.count_full();
                Err(No { why: Why::Full, wait: Some(SECOND) })
            }
        }
    }
}

// === impl Debits ===

impl Debits<'_> {
    /// Whether there is nothing to settle.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

// === impl Debit ===

impl Debit<'_> {
    /// Corrects it to what was used. Its state was `seen`, and then it was `now`.
    fn settle(
        &self,
        store: &Store,
        used: u64,
        (seen, now): (Option<Seen>, Times),
        clock: &impl Fn() -> Times,
    ) {
        let (kind, reserved) = (self.kind, self.reserved);
        let (table, id) = (store.table(kind), (self.id, kind));
        let rule = |state, now: Times| match (kind, &self.rules.bucket, &self.rules.quota) {
            (Kind::Bucket, Some(bucket), _) => {
                bucket.settle(state, self.state, now.boot, (reserved, used))
            }
            (Kind::Quota, _, Some(quota)) => {
                quota.settle(state, now.wall, self.state, (reserved, used))
            }
            _ => unreachable!("debits are made of the rules there are"),
        };
        if seen.is_some_and(|seen| table.replace(seen, id, rule(seen.state(), now))) {
            return;
        }
        if used < reserved {
            return table.amend(self.id, kind, |state| rule(state, clock()));
        }
        // What was taken may be forgotten already: its bucket was full again, its period is over.
        let forced = |state| Ok::<_, std::convert::Infallible>(rule(state, clock()));
        match table.change(id, now, forced) {
            Ok(done) if done.evicted => store.count_evicted(),
            Ok(_) => {}
            Err(_) => store.count_full(),
        }
    }
}

// === impl Standing ===

impl Standing {
    /// How a limit stands without anything being taken.
    #[must_use]
    pub fn of(store: &Store, rules: &Rules, id: Id, now: Times) -> Standing {
        let mut ask = Ask::new(rules, id, false);
        for kind in [Kind::Bucket, Kind::Quota] {
            let found = store.table(kind).find(id, kind);
            stand(&mut ask, kind, found.map_or(0, |seen| seen.state()), now);
        }
        ask.standing
    }
}

// === impl Holds ===

impl Holds {
    /// Whether anything is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.store.let_go(self.id);
    }
}

#[cfg(test)]
mod tests;
