//! Whatever the text, parsing ends with a configuration or with diagnostics that have a place, a
//! message and a bounded length; it never panics.

use proptest::prelude::*;

use crate::config::parse_str;

const SEEDS: [&str; 3] = [
    include_str!("../../../config/ringway.toml"),
    include_str!("../../../config/demo.toml"),
    include_str!("../../../config/conf.d/status.toml"),
];

/// Pieces that mean something to the parser.
const PIECES: [&str; 24] = [
    "",
    "\"",
    "'",
    "[",
    "]",
    "{",
    "}",
    "[[",
    "=",
    ".",
    "#",
    "\n",
    ",",
    "0",
    "-1",
    "\"0s\"",
    "\"99999999999999h\"",
    "1e999",
    "nan",
    "1979-05-27",
    "\\u0000",
    "ß",
    "{status}",
    "[apis.x.routes.\"GET /{a}/{a}\"]\n",
];

fn check(text: &str) {
    let loaded = parse_str(text, "m.toml");
    if let Ok(loaded) = &loaded {
        let shown = toml::to_string(&loaded.config).expect("every value has a form in TOML");
        let again = parse_str(&shown, "again.toml").expect("what is shown is well-formed");
        assert!(loaded.config == again.config, "{text}\n---\n{shown}");
    }
    if let Err(errors) = loaded {
        assert!(!errors.is_empty(), "an error says something");
        for error in errors {
            assert!(!error.message.is_empty(), "{error:?}");
            assert!(error.to_string().len() < 4_096, "{error}");
            assert!(!error.to_string().contains('\n'), "{error}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(400)
    })]

    #[test]
    fn any_text_is_survived(text in "\\PC*") {
        check(&text);
    }

    #[test]
    fn mutants_of_the_examples_are_survived(
        seed in 0..SEEDS.len(),
        edits in prop::collection::vec(
            (any::<prop::sample::Index>(), 0_usize..12, 0..PIECES.len()),
            1..6,
        ),
    ) {
        let mut text: Vec<char> = SEEDS[seed].chars().collect();
        for (at, cut, piece) in edits {
            let from = at.index(text.len() + 1);
            let to = (from + cut).min(text.len());
            text.splice(from..to, PIECES[piece].chars());
        }
        check(&text.into_iter().collect::<String>());
    }
}

#[test]
fn deep_text_is_refused_not_recursed_into() {
    // Nested as deeply as the TOML parser lets through, by lists, tables and dotted keys at once.
    let key = vec!["a"; 70].join(".");
    let mut text = String::from("x = ");
    for _ in 0..60 {
        text += &format!("{{ {key} = [");
    }
    text += "1";
    text += &"]}".repeat(60);
    check(&text);
    for text in ["[".repeat(200_000), "a.".repeat(200_000), format!("{}1", "a=[".repeat(10_000))] {
        check(&text);
    }
    check(&format!("{} = 1", vec!["a"; 60].join(".")));
    assert!(parse_str("x = [[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]", "d").is_err());
}

/// Ten thousand mistakes, each of a kind that compares with much: told, bounded, and soon.
#[test]
fn many_mistakes_are_told_in_part() {
    let mut text = String::from("[listeners.web]\naddress = \"127.0.0.1:0\"\n");
    for i in 0..2_000 {
        text += &format!("[upstreams.u{i}]\nendpoints = [\"10.0.0.1:80\"]\nballance = 1\n");
        text += &format!("[apis.a.routes.\"GET /{i}\"]\nupstream = \"uu{i}\"\n");
    }
    let errors = parse_str(&text, "m.toml").expect_err("has mistakes");
    assert_eq!(errors.len(), 101);
    assert_eq!(errors[100].message, "900+ more mistakes");
    let twins = "[gateway]\npin = true\n".repeat(5_000);
    assert_eq!(parse_str(&twins, "m.toml").expect_err("has mistakes").len(), 101);
    let list = "\"10.0.0.1:80\",".repeat(5_000);
    let text = format!("[upstreams.u]\nendpoints = [{list}]\n");
    check(&text);
}
