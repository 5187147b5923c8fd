//! Every interleaving of workers that share a breaker, by loom.

use loom::sync::Arc;
use loom::thread;

use super::*;

fn rules() -> BreakerRules {
    BreakerRules {
        failures: 1,
        open: Duration::from_secs(1),
        open_max: Duration::from_secs(8),
        half_open: 1,
    }
}

#[test]
fn one_trial_goes_and_its_word_counts() {
    loom::model(|| {
        let breaker = Arc::new(Breaker::default());
        let first = breaker.admit(&rules(), Tick(0)).expect("closed");
        breaker.failed(first, &rules(), Tick(0));
        let later = Tick(2_000_000_000);
        let other = breaker.clone();
        let thread = thread::spawn(move || other.admit(&rules(), later));
        let mine = breaker.admit(&rules(), later);
        let theirs = thread.join().expect("no panic");
        assert!(mine.is_some() != theirs.is_some(), "one of them");
        breaker.succeeded(mine.or(theirs).expect("one of them"));
        assert_eq!(breaker.state(later), BreakerState::Closed);
    });
}
