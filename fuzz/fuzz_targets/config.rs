//! Any text is a configuration or a list of diagnostics: never a panic, never an empty list; and
//! what is shown of a configuration reads back as one that is shown the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringway::config::parse_str;

fuzz_target!(|text: &str| {
    match parse_str(text, "fuzz.toml") {
        Err(errors) => {
            assert!(!errors.is_empty());
            for error in errors {
                assert!(!error.to_string().contains('\n'));
            }
        }
        Ok(loaded) => {
            let shown = loaded.config.masked_toml();
            let again = parse_str(&shown, "again.toml").expect("what is shown is well-formed");
            assert_eq!(shown, again.config.masked_toml());
        }
    }
});
