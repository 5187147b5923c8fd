//! Statistics with fixed seeds, so a test that passes passes always.

use super::*;

const NOW: Tick = Tick(1);

#[derive(Clone, Debug)]
struct Endpoint {
    name: String,
    weight: u32,
    active: u32,
    usable: bool,
    ramp: u32,
}

struct Fleet(Vec<Endpoint>);

impl View for Fleet {
    fn len(&self) -> usize {
        self.0.len()
    }
    fn weight(&self, i: usize) -> u32 {
        self.0[i].weight
    }
    fn active(&self, i: usize) -> u32 {
        self.0[i].active
    }
    fn usable(&self, i: usize, now: Tick) -> bool {
        assert_eq!(now, NOW);
        self.0[i].usable
    }
    fn ramp(&self, i: usize, _: Tick) -> u32 {
        self.0[i].ramp
    }
}

fn fleet(weights: &[u32]) -> Fleet {
    let endpoint = |(i, &weight): (usize, &u32)| Endpoint {
        name: format!("10.0.0.{i}:80"),
        weight,
        active: 0,
        usable: true,
        ramp: RAMP_FULL,
    };
    Fleet(weights.iter().enumerate().map(endpoint).collect())
}

impl Fleet {
    fn picker(&self, algorithm: Algorithm, fallback: Fallback) -> Picker {
        let members: Vec<_> =
            self.0.iter().map(|e| Member { identity: &e.name, weight: e.weight }).collect();
        Picker::new(algorithm, fallback, &members, 42)
    }

    /// How often each is picked, in percent, over many picks with every hash a new one.
    fn percents(&self, algorithm: Algorithm) -> Vec<i64> {
        const PICKS: u32 = 40_000;
        let mut picker = self.picker(algorithm, Fallback::Refuse);
        let mut counts = vec![0i64; self.0.len()];
        for n in 0..PICKS {
            let hash = hash_key(&n.to_le_bytes());
            if let Some(i) = picker.pick(self, Some(hash), &[], NOW) {
                counts[i] += 1;
            }
        }
        counts.iter().map(|c| (c * 100 + 20_000) / i64::from(PICKS)).collect()
    }
}

const HASH: Algorithm = Algorithm::Hash { overload_percent: None };
const ALL: [Algorithm; 5] = [
    Algorithm::LeastRequest,
    Algorithm::RoundRobin,
    Algorithm::Random,
    HASH,
    Algorithm::Hash { overload_percent: Some(25) },
];

#[test]
fn idle_endpoints_are_picked_by_weight() {
    for algorithm in ALL {
        for (weights, expected) in [
            (vec![1], vec![100]),
            (vec![1, 1], vec![50, 50]),
            (vec![1, 3], vec![25, 75]),
            (vec![5, 3, 2], vec![50, 30, 20]),
            (vec![0, 1, 0, 1], vec![0, 50, 0, 50]),
            (vec![60_000, 20_000, 20_000], vec![60, 20, 20]),
        ] {
            let got = fleet(&weights).percents(algorithm);
            let near = got.iter().zip(&expected).all(|(g, e): (&i64, &i64)| g.abs_diff(*e) <= 1);
            assert!(near, "{algorithm:?} {weights:?}: {got:?}");
        }
    }
}

#[test]
fn a_ramp_takes_its_part_of_the_weight() {
    for algorithm in [Algorithm::LeastRequest, Algorithm::RoundRobin, Algorithm::Random, HASH] {
        let mut f = fleet(&[1, 1]);
        f.0[0].ramp = RAMP_FULL / 4;
        let got = f.percents(algorithm);
        assert!(got[0].abs_diff(20) <= 1, "{algorithm:?}: {got:?}");
    }
}

#[test]
fn the_unusable_the_excluded_and_the_weightless_are_not_picked() {
    for algorithm in ALL {
        let mut f = fleet(&[1, 1, 1, 0]);
        f.0[0].usable = false;
        let mut refuse = f.picker(algorithm, Fallback::Refuse);
        let mut any = f.picker(algorithm, Fallback::Any);
        for n in 0..200u64 {
            let hash = Some(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            assert!(matches!(refuse.pick(&f, hash, &[], NOW), Some(1 | 2)), "{algorithm:?}");
            assert_eq!(refuse.pick(&f, hash, &[1], NOW), Some(2), "{algorithm:?}");
            assert_eq!(refuse.pick(&f, hash, &[1, 2], NOW), None, "{algorithm:?}");
            assert_eq!(any.pick(&f, hash, &[1], NOW), Some(2), "{algorithm:?}");
            // In need the unusable are taken, those already tried and the drained ones are not.
            assert_eq!(any.pick(&f, hash, &[1, 2], NOW), Some(0), "{algorithm:?}");
            assert_eq!(any.pick(&f, hash, &[0, 1, 2], NOW), None, "{algorithm:?}");
        }
        let none = fleet(&[]);
        assert_eq!(none.picker(algorithm, Fallback::Any).pick(&none, Some(1), &[], NOW), None);
    }
}

#[test]
fn round_robin_is_smooth() {
    let f = fleet(&[5, 1, 1]);
    let mut picker = f.picker(Algorithm::RoundRobin, Fallback::Refuse);
    let turns: Vec<_> = (0..14).map(|_| picker.pick(&f, None, &[], NOW).unwrap()).collect();
    // nginx's own example: a a b a c a a.
    assert_eq!(turns, [0, 0, 1, 0, 2, 0, 0, 0, 0, 1, 0, 2, 0, 0]);

    let mut f = fleet(&[1, 1, 1]);
    let mut picker = f.picker(Algorithm::RoundRobin, Fallback::Refuse);
    let mut turns = |f: &Fleet, n| -> Vec<_> {
        (0..n).map(|_| picker.pick(f, None, &[], NOW).unwrap()).collect()
    };
    assert_eq!(turns(&f, 4), [0, 1, 2, 0]);
    f.0[1].usable = false;
    assert_eq!(turns(&f, 4), [2, 2, 0, 2]); // 0 had been a turn ahead
    f.0[1].usable = true;
    assert_eq!(turns(&f, 6).iter().filter(|&&i| i == 1).count(), 2);
}

#[test]
fn of_two_the_less_busy_is_taken() {
    let mut f = fleet(&[1, 1]);
    f.0[0].active = 3;
    f.0[1].active = 2;
    let mut picker = f.picker(Algorithm::LeastRequest, Fallback::Refuse);
    assert!((0..100).all(|_| picker.pick(&f, None, &[], NOW) == Some(1)));
    // Three requests on weight 4 are less than two on weight 1.
    let mut f = fleet(&[4, 1]);
    f.0[0].active = 3;
    f.0[1].active = 2;
    let mut picker = f.picker(Algorithm::LeastRequest, Fallback::Refuse);
    assert!((0..100).all(|_| picker.pick(&f, None, &[], NOW) == Some(0)));
}

// The reason to draw two: with each request staying, the longest queue stays near the mean, where
// one blind draw lets it run away.
#[test]
fn queues_stay_even() {
    let longest = |algorithm| {
        let mut f = fleet(&[1; 50]);
        let mut picker = f.picker(algorithm, Fallback::Refuse);
        for _ in 0..5000 {
            let i = picker.pick(&f, None, &[], NOW).unwrap();
            f.0[i].active += 1;
        }
        f.0.iter().map(|e| e.active).max().unwrap()
    };
    assert!(longest(Algorithm::LeastRequest) <= 103);
    assert!(longest(Algorithm::Random) >= 115);
    // And in proportion to the weights.
    let mut f = fleet(&[1, 2, 5]);
    let mut picker = f.picker(Algorithm::LeastRequest, Fallback::Refuse);
    for _ in 0..8000 {
        let i = picker.pick(&f, None, &[], NOW).unwrap();
        f.0[i].active += 1;
    }
    for (endpoint, fair) in f.0.iter().zip([1000u32, 2000, 5000]) {
        assert!(endpoint.active.abs_diff(fair) <= 20, "{endpoint:?}");
    }
}

#[test]
fn few_usable_among_many_are_still_found_evenly() {
    let mut f = fleet(&[1; 100]);
    for (i, endpoint) in f.0.iter_mut().enumerate() {
        endpoint.usable = i % 25 == 7;
    }
    for algorithm in [Algorithm::LeastRequest, Algorithm::Random] {
        let percents = f.percents(algorithm);
        for i in [7, 32, 57, 82] {
            assert!(percents[i].abs_diff(25) <= 1, "{algorithm:?}: {}", percents[i]);
        }
    }
}

// === consistent hashing ===

fn homes(f: &Fleet) -> Vec<String> {
    let mut picker = f.picker(HASH, Fallback::Refuse);
    let home = |n: u32| picker.pick(f, Some(hash_key(&n.to_le_bytes())), &[], NOW).unwrap();
    (0..20_000).map(home).map(|i| f.0[i].name.clone()).collect()
}

fn moved(a: &[String], b: &[String]) -> usize {
    a.iter().zip(b).filter(|(a, b)| a != b).count()
}

#[test]
fn an_endpoint_that_comes_or_goes_moves_its_own_share_only() {
    let ten = fleet(&[1; 10]);
    let before = homes(&ten);

    let mut nine = fleet(&[1; 10]);
    let gone = nine.0.remove(3);
    let after = homes(&nine);
    // Exactly those that had been with it.
    assert_eq!(moved(&before, &after), before.iter().filter(|h| **h == gone.name).count());
    assert!(moved(&before, &after).abs_diff(2000) < 200);

    let eleven = fleet(&[1; 11]);
    let after = homes(&eleven);
    assert!(moved(&before, &after).abs_diff(20_000 / 11) < 200);
    let newcomer = &eleven.0[10].name;
    assert!(before.iter().zip(&after).all(|(b, a)| b == a || a == newcomer));

    // One that is out for a while gets its own back when it returns, and is not missed by others.
    let mut out = fleet(&[1; 10]);
    out.0[3].usable = false;
    assert_eq!(homes(&out), homes(&nine));

    // A weight that changes moves no more than the difference.
    let mut heavier = fleet(&[1; 10]);
    heavier.0[0].weight = 2;
    let after = homes(&heavier);
    assert!(before.iter().zip(&after).all(|(b, a)| b == a || *a == heavier.0[0].name));
}

#[test]
fn the_order_of_the_endpoints_means_nothing() {
    let mut turned = fleet(&[1, 2, 3, 4, 5]);
    let before = homes(&turned);
    turned.0.reverse();
    assert_eq!(moved(&before, &homes(&turned)), 0);
}

#[test]
fn similar_keys_and_small_numbers_spread() {
    let f = fleet(&[1; 8]);
    let mut picker = f.picker(HASH, Fallback::Refuse);
    let mut by_number = [0u32; 8];
    let mut by_name = [0u32; 8];
    for n in 0..8000u64 {
        by_number[picker.pick(&f, Some(n), &[], NOW).unwrap()] += 1;
        let key = hash_key(format!("user-{n}").as_bytes());
        by_name[picker.pick(&f, Some(key), &[], NOW).unwrap()] += 1;
    }
    // Standard deviation 30: five of them.
    for counts in [by_number, by_name] {
        assert!(counts.iter().all(|c| c.abs_diff(1000) < 150), "{counts:?}");
    }
}

#[test]
fn bounded_load_lets_one_hot_key_flow_over() {
    let mut f = fleet(&[1; 10]);
    let mut picker = f.picker(Algorithm::Hash { overload_percent: Some(25) }, Fallback::Refuse);
    let home = picker.pick(&f, Some(77), &[], NOW).unwrap();
    for _ in 0..1000 {
        let i = picker.pick(&f, Some(77), &[], NOW).unwrap();
        f.0[i].active += 1;
    }
    let most = f.0.iter().map(|e| e.active).max().unwrap();
    assert_eq!(f.0[home].active, most);
    assert!((120..=126).contains(&most), "{most}");
    // Without the bound it all stays at home.
    let mut unbounded = f.picker(HASH, Fallback::Refuse);
    assert_eq!(unbounded.pick(&f, Some(77), &[], NOW), Some(home));
}

#[test]
fn the_key_hash_is_fixed_for_ever() {
    assert_eq!(hash_key(b""), hash_key(b""));
    assert_ne!(hash_key(b"a"), hash_key(b"a\0"));
    assert_ne!(hash_key(b"12345678"), hash_key(b"123456781"));
    assert_eq!(hash_key(b"10.0.0.1:80"), 9_067_583_211_622_881_513);
}
