//! What a configuration makes of models, who is chosen, and what a reload keeps.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::{Names, Parts, Snapshot, Sockets, compile};
use super::*;
use crate::balance::{BreakerRules, BreakerState, Random};
use crate::config::{self, Diagnostic};
use crate::limit::{HashKey, Store};
use crate::llm::{Features, Usage};
use crate::observe::registry::Registry;

const SECOND: u64 = 1_000_000_000;

const CONFIG: &str = r#"
[listeners.web]
address = "127.0.0.1:8080"

[upstreams.own]
endpoints = ["127.0.0.1:9"]

[providers.one]
dialect = "openai"
base_url = "http://127.0.0.1:9001/v1/"
headers = { X-Org = "a" }
timeouts = { first_byte = "3s" }
stream_first_byte = "2s"
[providers.one.prices."m*"]
input = "1.5"
output = "2"
[providers.one.prices.mini]
input = "0.15"
output = "0.6"

[providers.two]
dialect = "anthropic"
base_url = "https://localhost:8443"

[models.chat]
targets = [
    { provider = "two", model = "late", priority = 2 },
    { provider = "one", model = "mini", weight = 3, context_max = 1000, features = ["tools"] },
    { provider = "one", model = "other", weight = 1, context_max = 2000 },
]
failover = { attempts = 2, on = ["connect", "auth"] }

[models."gpt-*"]
targets = [{ provider = "one" }]
[models."gpt-4o*"]
targets = [{ provider = "two", model = "four" }]
[models.gpt-4o]
targets = [{ provider = "one", model = "mini" }, { provider = "two", weight = 0 }]

[models.fast]
targets = [
    { provider = "one", model = "a" }, { provider = "one", model = "b" },
    { provider = "one", model = "c" },
]
balance = "least_latency"

[apis.llm.routes."ANY /v1/{proxy+}"]
llm = { models = ["gpt-*"] }
[apis.llm.routes."ANY /own/{proxy+}"]
upstream = "own"
"#;

fn try_load(text: &str, previous: Option<&Snapshot>) -> Result<Snapshot, Vec<Diagnostic>> {
    let loaded = config::parse_str(text, "test.toml").expect("it is one");
    let limits = Arc::new(Store::anonymous(256, HashKey(1, 2), 3).expect("memory"));
    let parts = Parts {
        previous,
        registry: &Registry::new(1),
        names: &Names::new(),
        sockets: &Sockets::default(),
        limits: &limits,
    };
    compile(Arc::new(loaded.config), &parts)
}

fn load(text: &str, previous: Option<&Snapshot>) -> Snapshot {
    try_load(text, previous).unwrap_or_else(|wrong| panic!("{wrong:?}"))
}

fn model<'s>(snapshot: &'s Snapshot, name: &str) -> &'s Arc<Model> {
    snapshot.llm.models.find(name).expect("there is one")
}

fn choose(model: &Model, now: u64, tried: Tried, need: &Need) -> Result<String, NoTarget> {
    let mut random = Random::new(now ^ 7);
    let chosen = model.choose(Tick(now), &mut random, tried, need)?;
    Ok(chosen.model.to_string())
}

/// How often each of the targets is chosen.
fn shares(model: &Model, need: &Need) -> BTreeMap<String, u32> {
    let (mut random, mut shares) = (Random::new(1), BTreeMap::new());
    for _ in 0..4000 {
        let chosen = model.choose(Tick(0), &mut random, Tried::default(), need);
        *shares.entry(chosen.expect("somebody").model.to_string()).or_default() += 1;
    }
    shares
}

#[test]
fn a_provider_is_an_upstream_of_its_own() {
    let snapshot = load(CONFIG, None);
    let one = snapshot.llm.provider("one").expect("it is there");
    let upstream = &snapshot.upstreams[one.upstream()];
    assert_eq!(&*upstream.name, "provider:one");
    assert_eq!(upstream.endpoints().list[0].address.to_string(), "127.0.0.1:9001");
    assert!(upstream.tls.is_none());
    assert_eq!((&*one.base_path, &*one.host), ("/v1", "127.0.0.1:9001"));
    assert_eq!(one.headers, [("x-org".to_owned(), "a".to_owned())]);
    assert_eq!(one.target.first_byte, Duration::from_secs(3));
    assert_eq!(one.stream_first_byte, Duration::from_secs(2));
    assert_eq!(one.credential(Tick(0)).map(|c| c.name.clone()), None);
    let two = snapshot.llm.provider("two").expect("it is there");
    let upstream = &snapshot.upstreams[two.upstream()];
    assert!(upstream.tls.is_some(), "an https URL is one of TLS");
    assert_eq!((&*two.base_path, &*two.host), ("", "localhost:8443"));
    let routes = snapshot.routes.iter();
    let targets: Vec<usize> =
        routes.filter_map(|route| route.target(0)).map(|target| target.upstream).collect();
    assert_eq!(&*snapshot.upstreams[targets[0]].name, "own", "places are not mixed up");
}

#[test]
fn a_model_is_found_by_its_name_then_by_the_longest_beginning() {
    let snapshot = load(CONFIG, None);
    for (asked, found) in
        [("gpt-4o", "gpt-4o"), ("gpt-4o-mini", "gpt-4o*"), ("gpt-5", "gpt-*"), ("chat", "chat")]
    {
        assert_eq!(&*model(&snapshot, asked).name, found, "{asked}");
    }
    assert!(snapshot.llm.models.find("claude").is_none());
    let names: Vec<&str> = snapshot.llm.models.iter().map(|model| &*model.name).collect();
    assert_eq!(names, ["chat", "fast", "gpt-4o", "gpt-4o*", "gpt-*"]);
    let target = &model(&snapshot, "gpt-5").targets[0];
    assert_eq!(target.model_for("gpt-5"), "gpt-5");
    let route = snapshot.routes.iter().find_map(|route| match &route.action {
        super::super::Action::Llm(llm) => Some(llm),
        _ => None,
    });
    let route = route.expect("one ends in models");
    assert!(route.allows("gpt-5") && !route.allows("chat"));
}

#[test]
fn prices_are_by_the_providers_own_name() {
    let snapshot = load(CONFIG, None);
    let usage = Usage { input: 1_000_000, output: 1_000_000, ..Usage::default() };
    let cost = |model_name: &str, asked: &str| {
        let target = &model(&snapshot, model_name).targets[0];
        target.price_for(asked).cost_pico(&usage, false)
    };
    const USD: u64 = 1_000_000_000_000;
    assert_eq!(cost("gpt-4o", "gpt-4o"), 75 * USD / 100);
    assert_eq!(cost("gpt-5", "mini"), 75 * USD / 100, "what it is called there");
    assert_eq!(cost("gpt-5", "medium"), 35 * USD / 10);
    assert_eq!(cost("gpt-5", "gpt-5"), 0);
}

#[test]
fn the_best_priority_first_then_by_weight() {
    let snapshot = load(CONFIG, None);
    let chat = model(&snapshot, "chat");
    let need = Need::default();
    let shares = shares(chat, &need);
    assert_eq!(shares.len(), 2, "{shares:?}");
    assert!((2850..=3150).contains(&shares["mini"]), "{shares:?}");

    let all = |name: &str| chat.targets.iter().find(|target| &*target.model == name);
    let mut tried = Tried::default();
    tried.add(all("mini").expect("a target"));
    assert_eq!(choose(chat, 0, tried, &need).as_deref(), Ok("other"));
    tried.add(all("other").expect("a target"));
    assert_eq!(choose(chat, 0, tried, &need).as_deref(), Ok("late"));
    tried.add(all("late").expect("a target"));
    assert_eq!(choose(chat, 0, tried, &need), Err(NoTarget::AllTried));
    // One of weight zero never.
    let only = model(&snapshot, "gpt-4o");
    let mut tried = Tried::default();
    tried.add(&only.targets[0]);
    assert_eq!(choose(only, 0, tried, &need), Err(NoTarget::AllTried));
}

#[test]
fn who_is_too_small_or_lacks_a_feature_is_passed_over() {
    let snapshot = load(CONFIG, None);
    let chat = model(&snapshot, "chat");
    let choose =
        |tokens, features| self::choose(chat, 0, Tried::default(), &Need { features, tokens });
    assert_eq!(choose(1500, Features::NONE).as_deref(), Ok("other"));
    assert_eq!(choose(2001, Features::NONE).as_deref(), Ok("late"));
    assert_eq!(choose(10, Features::JSON).as_deref(), Ok("other"));

    let small = CONFIG.replace("{ provider = \"two\", model = \"late\", priority = 2 },", "");
    let small = small.replace("context_max = 2000", "context_max = 2000, features = [\"json\"]");
    let snapshot = load(&small, None);
    let chat = model(&snapshot, "chat");
    let choose =
        |tokens, features| self::choose(chat, 0, Tried::default(), &Need { features, tokens });
    assert_eq!(choose(2001, Features::NONE), Err(NoTarget::TooLong(2000)));
    assert_eq!(choose(10, Features::IMAGES), Err(NoTarget::Features(Features::IMAGES)));
    let both = Features::TOOLS | Features::JSON;
    assert!(matches!(choose(10, both), Err(NoTarget::Features(lacking)) if both.contains(lacking)));
    assert_eq!(choose(1500, Features::TOOLS), Err(NoTarget::Features(Features::TOOLS)));
}

#[test]
fn an_open_breaker_is_passed_over_and_one_trial_goes_when_it_is_half_open() {
    let snapshot = load(CONFIG, None);
    let only = model(&snapshot, "gpt-5");
    let target = &only.targets[0];
    for _ in 0..5 {
        let mut attempt = target.enter(Tick(0)).expect("closed");
        assert_eq!(target.state.in_flight(), 1);
        attempt.failed(Tick(0), None);
    }
    assert_eq!(target.state.in_flight(), 0);
    let Err(NoTarget::Resting(back)) = choose(only, SECOND, Tried::default(), &Need::default())
    else {
        panic!("it is open")
    };
    assert!(back >= Tick(10 * SECOND) && back < Tick(11 * SECOND), "{back:?}");
    assert!(target.enter(Tick(SECOND)).is_none());
    let later = 11 * SECOND;
    assert!(choose(only, later, Tried::default(), &Need::default()).is_ok());
    let trial = target.enter(Tick(later)).expect("a trial");
    assert!(target.enter(Tick(later)).is_none(), "one at once");
    assert!(matches!(
        choose(only, later, Tried::default(), &Need::default()),
        Err(NoTarget::Resting(_))
    ));
    drop(trial); // the client had gone: it says nothing
    let mut trial = target.enter(Tick(later)).expect("its place is free");
    trial.succeeded(Tick(later), Duration::from_millis(3));
    drop(trial);
    assert_eq!(target.state.breaker.state(Tick(later)), BreakerState::Closed);
    assert_eq!(target.state.latency.micros(Tick(later)), Some(3000));

    let mut attempt = target.enter(Tick(later)).expect("closed");
    attempt.failed(Tick(later), Some(Duration::from_secs(60)));
    let back = target.awake_at(Tick(later));
    assert!(back >= Tick(later + 60 * SECOND) && back < Tick(later + 61 * SECOND), "{back:?}");
    // Who says so again, when it is tried after that, is left alone so long and no longer.
    drop(attempt);
    let later = later + 61 * SECOND;
    let mut trial = target.enter(Tick(later)).expect("a trial");
    trial.failed(Tick(later), Some(Duration::from_secs(1)));
    let back = target.awake_at(Tick(later));
    assert!(back < Tick(later + 2 * SECOND), "{back:?}");
}

#[test]
fn the_quickest_is_preferred_and_strangers_go_first() {
    let snapshot = load(CONFIG, None);
    let fast = model(&snapshot, "fast");
    let need = Need::default();
    let mut strangers = Vec::new();
    for at in 0..3 {
        let chosen = choose(fast, 0, Tried::default(), &need).expect("somebody");
        let target = fast.targets.iter().find(|target| *target.model == *chosen);
        let mut attempt = target.expect("it is one").enter(Tick(0)).expect("closed");
        attempt.succeeded(Tick(0), Duration::from_millis([100, 10, 100][at]));
        drop(attempt);
        strangers.push(chosen);
    }
    assert_eq!(strangers, ["a", "b", "c"]);
    let alone = shares(fast, &need);
    // Of two drawn at random: in one of three draws it is not among them.
    assert!((2500..=2850).contains(&alone["b"]), "{alone:?}");
    // Twenty on their way make it as slow as the others.
    let busy: Vec<Attempt> = (0..20).filter_map(|_| fast.targets[1].enter(Tick(0))).collect();
    assert!(!shares(fast, &need).contains_key("b"));
    drop(busy);
}

#[test]
fn a_reload_keeps_what_is_known_of_who_keeps_its_name() {
    let first = load(CONFIG, None);
    let chat = model(&first, "chat");
    chat.learned.saw(50_000);
    let known = chat.targets[0].state.clone();
    let changed = CONFIG
        .replace("weight = 3", "weight = 4")
        .replace("model = \"other\"", "model = \"another\"")
        .replace("[models.chat]\ntargets = [", "[models.chat]\nlimits = []\ntargets = [");
    let second = load(&changed, Some(&first));
    let same = model(&second, "chat");
    assert!(Arc::ptr_eq(&same.targets[0].state, &known));
    assert!(Arc::ptr_eq(&same.retries, &chat.retries));
    assert_eq!(same.learned.ceiling(), chat.learned.ceiling());
    let state = |model: &Model, name: &str| {
        let target = model.targets.iter().find(|target| &*target.model == name);
        target.expect("a target").state.clone()
    };
    assert!(Arc::ptr_eq(&state(same, "mini"), &state(chat, "mini")));
    let strange = state(same, "another");
    assert!(chat.targets.iter().all(|target| !Arc::ptr_eq(&target.state, &strange)));
    let upstream = |snapshot: &Snapshot| snapshot.upstream("provider:one").cloned();
    assert!(Arc::ptr_eq(&upstream(&first).expect("there"), &upstream(&second).expect("there")));
    let budget = CONFIG.replace("attempts = 2", "attempts = 2, budget = \"50%\"");
    let third = load(&budget, Some(&second));
    assert!(!Arc::ptr_eq(&model(&third, "chat").retries, &same.retries), "another budget");
}

#[test]
fn credentials_take_turns_rest_and_are_read_anew_by_a_reload() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name).display().to_string();
    let write = |name: &str, text: &str| std::fs::write(path(name), text).expect("is written");
    write("a", "sk-aaaa\n");
    write("b", "sk-bbbb");
    let text = CONFIG.replace(
        "dialect = \"openai\"",
        &format!(
            "dialect = \"openai\"\n\
             credentials = [{{ file = {:?} }}, {{ name = \"second\", file = {:?} }}]",
            path("a"),
            path("b")
        ),
    );
    let first = load(&text, None);
    let one = first.llm.provider("one").expect("it is there");
    let turn = |provider: &Provider, now| {
        provider.credential(Tick(now)).map(|credential| credential.name.to_string())
    };
    let turns: Vec<_> = (0..4).filter_map(|_| turn(one, 0)).collect();
    assert_eq!(turns, ["a", "second", "a", "second"]);
    one.credentials[0].rest(Tick(10));
    let turns: Vec<_> = (0..4).filter_map(|_| turn(one, 5)).collect();
    assert_eq!(turns, ["second"; 4]);
    assert_eq!(one.awake_at(Tick(5)), Tick(5));
    one.credentials[1].rest(Tick(20));
    assert_eq!((one.awake_at(Tick(5)), turn(one, 5).as_deref()), (Tick(10), Some("a")));
    assert_eq!(
        choose(model(&first, "gpt-5"), 5, Tried::default(), &Need::default()),
        Err(NoTarget::Resting(Tick(10)))
    );

    write("b", "sk-rotated\n");
    let second = load(&text, Some(&first));
    let two = second.llm.provider("one").expect("it is there");
    assert!(Arc::ptr_eq(&one.credentials[0], &two.credentials[0]), "the same value");
    assert_eq!(two.credentials[1].secret(), b"sk-rotated");
    assert!(!two.credentials[1].is_resting(Tick(5)), "another value");

    // The configuration as it is shown names files, and nothing else of them.
    let shown = second.config.masked_toml();
    assert!(shown.contains("second") && !shown.contains("sk-"), "{shown}");
    write("b", "");
    let wrong = try_load(&text, Some(&second)).err().expect("nobody can be without a key");
    let told = wrong[0].to_string();
    assert!(told.contains("test.toml:") && told.contains("is empty"), "{told}");
    assert!(told.contains("providers.one.credentials"), "{told}");
}

#[derive(Clone, Debug)]
struct Made {
    priority: u32,
    weight: u32,
    context_max: Option<u64>,
    features: Option<Vec<usize>>,
    open: bool,
    tried: bool,
}

fn made() -> impl Strategy<Value = Made> {
    let features = prop::option::of(prop::collection::vec(0usize..5, 0..5));
    (0u32..3, 0u32..4, prop::option::of(1u64..100), features, any::<bool>(), any::<bool>())
        .prop_map(|(priority, weight, context_max, features, open, tried)| Made {
            priority,
            weight,
            context_max,
            features,
            open,
            tried,
        })
}

fn features_of(places: &[usize]) -> Features {
    places.iter().map(|at| Features::WORDS[*at].1).collect()
}

proptest! {
    #[test]
    fn nobody_is_chosen_who_cannot_and_somebody_is_if_anybody_can(
        mut made in prop::collection::vec(made(), 1..12),
        tokens in 0u64..120,
        needs in prop::collection::vec(0usize..5, 0..3),
        seed in any::<u64>(),
        quickest in any::<bool>(),
    ) {
        made.sort_by_key(|target| target.priority);
        let provider = load_provider();
        let now = Tick(SECOND);
        let targets: Vec<Arc<LlmTarget>> = made.iter().zip(0u8..).map(|(made, at)| {
            let state = TargetState::default();
            let breaker = rules();
            if made.open {
                state.breaker.hold(&breaker, now, Duration::from_secs(1));
            }
            Arc::new(LlmTarget {
                provider: provider.clone(),
                model: Arc::from(at.to_string()),
                weight: made.weight,
                priority: made.priority,
                context_max: made.context_max,
                features: made.features.as_deref().map(features_of),
                price: Price::default(),
                breaker,
                state: Arc::new(state),
                cells: Registry::new(1).gen_ai(&Default::default()),
                at,
            })
        }).collect();
        let need = Need { features: features_of(&needs), tokens };
        let mut tried = Tried::default();
        made.iter().zip(&targets).filter(|(made, _)| made.tried).for_each(|(_, t)| tried.add(t));
        let can = |(made, target): &(&Made, &Arc<LlmTarget>)| {
            made.weight > 0
                && made.context_max.is_none_or(|max| tokens <= max)
                && target.features.is_none_or(|features| features.contains(need.features))
                && !made.open
                && !made.tried
        };
        let able: Vec<_> = made.iter().zip(&targets).filter(can).collect();
        let balance = if quickest { ModelBalance::LeastLatency } else { ModelBalance::Weighted };
        let model = Model {
            name: Arc::from("m"),
            targets: targets.clone(),
            balance,
            output_max: None,
            learned: Arc::default(),
            limits: Limits::default(),
            failover: Failover {
                attempts: 1,
                on: Causes::default(),
                retry_after_max: Duration::ZERO,
            },
            retries: Arc::new(Allowance::new(Default::default(), now)),
        };
        match model.choose(now, &mut Random::new(seed), tried, &need) {
            Ok(chosen) => {
                let best = able.iter().map(|(made, _)| made.priority).min();
                prop_assert_eq!(best, Some(chosen.priority));
                prop_assert!(able.iter().any(|(_, target)| Arc::ptr_eq(target, chosen)));
            }
            Err(why) => {
                prop_assert!(able.is_empty(), "{:?}", why);
                match why {
                    NoTarget::Resting(at) => prop_assert!(at > now),
                    NoTarget::AllTried => prop_assert!(made.iter().any(|target| target.tried)
                        || made.iter().all(|target| target.weight == 0)),
                    NoTarget::TooLong(max) => {
                        prop_assert!(max < tokens || made.iter().all(|t| t.weight == 0));
                    }
                    NoTarget::Features(lacking) => {
                        prop_assert!(!lacking.is_empty() && need.features.contains(lacking));
                    }
                }
            }
        }
    }
}

fn rules() -> BreakerRules {
    BreakerRules {
        failures: 5,
        ratio: 0,
        requests_min: 20,
        window: Duration::from_secs(10),
        open: Duration::from_secs(10),
        open_max: Duration::from_secs(60),
        half_open: 1,
    }
}

fn load_provider() -> Arc<Provider> {
    use std::sync::OnceLock;
    static SNAPSHOT: OnceLock<Snapshot> = OnceLock::new();
    let snapshot = SNAPSHOT.get_or_init(|| load(CONFIG, None));
    snapshot.llm.provider("one").expect("it is there").clone()
}
