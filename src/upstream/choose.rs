//! Choosing among a worker's endpoints: what the balance room sees of them.

use std::rc::Rc;

use super::pool::Member;
use crate::balance::{self, Algorithm, Fallback, Picker};
use crate::clock::Tick;
use crate::snapshot::Upstream;

/// What the balance room sees of the members.
pub(super) struct View<'a> {
    pub upstream: &'a Upstream,
    pub list: &'a [Rc<Member>],
}

impl balance::View for View<'_> {
    fn len(&self) -> usize {
        self.list.len()
    }

    fn weight(&self, at: usize) -> u32 {
        self.list[at].endpoint.weight
    }

    fn active(&self, at: usize) -> u32 {
        self.list[at].active()
    }

    fn usable(&self, at: usize, now: Tick) -> bool {
        self.list[at].endpoint.usable(now)
    }

    fn ramp(&self, at: usize, now: Tick) -> u32 {
        self.upstream.ramp(&self.list[at].endpoint, now)
    }
}

/// A picker as the configuration asks for one.
pub(super) fn picker(def: &Upstream, seed: u64, members: &[Rc<Member>]) -> Picker {
    use crate::config::Balance;
    let algorithm = match &def.conf.balance {
        Balance::LeastRequest => Algorithm::LeastRequest,
        Balance::RoundRobin => Algorithm::RoundRobin,
        Balance::Random => Algorithm::Random,
        Balance::Hash(_) => Algorithm::Hash { overload_percent: None },
    };
    let members = members
        .iter()
        .map(|member| balance::Member {
            identity: &member.endpoint.name,
            weight: member.endpoint.weight,
        })
        .collect::<Vec<_>>();
    Picker::new(algorithm, Fallback::Refuse, &members, seed)
}
