//! What a reload says has changed, and what the admin's page must not say.

use super::{MINIMAL, good};
use crate::config::{What, diff, parse_str};

const BEFORE: &str = r#"
[listeners.web]
address = "127.0.0.1:8080"
[upstreams.pets]
endpoints = ["10.0.0.1:80"]
[upstreams.pets.timeouts]
connect = "1s"
[upstreams.old]
endpoints = ["10.0.0.2:80"]
[apis.shop]
[apis.shop.routes."GET /a"]
upstream = "pets"
[apis.shop.routes."GET /b"]
upstream = "old"
"#;

fn changes(old: &str, new: &str) -> Vec<String> {
    diff(&good(old).config, &good(new).config).iter().map(ToString::to_string).collect()
}

#[test]
fn changes_are_told_by_object_and_key() {
    let after = BEFORE
        .replace("connect = \"1s\"", "connect = \"2s\"\ntotal = \"1m\"")
        .replace("[upstreams.old]", "[upstreams.new]")
        .replace("\"old\"", "\"new\"")
        .replace("[apis.shop]", "[apis.shop]\nbase_path = \"/shop\"")
        .replace("\"GET /a\"", "\"GET /c\"");
    assert_eq!(
        changes(BEFORE, &after),
        [
            "changed apis.shop (base_path)",
            "removed apis.shop.routes.\"GET /a\"",
            "changed apis.shop.routes.\"GET /b\" (upstream)",
            "added apis.shop.routes.\"GET /c\"",
            "added upstreams.new",
            "removed upstreams.old",
            "changed upstreams.pets (timeouts.connect, timeouts.total)",
        ]
    );
}

#[test]
fn providers_and_models_are_objects_and_their_credentials_names() {
    let old = format!(
        "{BEFORE}[providers.openai]\ndialect = \"openai\"\nbase_url = \"https://a.example/v1\"\n\
         credentials = [{{ env = \"FIRST\" }}]\nheaders = {{ x-token = \"hunter2\" }}\n\
         [models.\"gpt-4.1\"]\ntargets = [{{ provider = \"openai\" }}]\n\
         [apis.shop.routes.\"ANY /v1/{{proxy+}}\"]\nllm = true\n"
    );
    let new = old
        .replace("{ env = \"FIRST\" }", "{ env = \"FIRST\" }, { env = \"SECOND\" }")
        .replace("hunter2", "hunter3")
        .replace("[models.\"gpt-4.1\"]", "[models.\"gpt-4.1\"]\nbalance = \"least_latency\"")
        .replace("llm = true", "llm = { models = [\"gpt-*\"] }");
    let changed = diff(&good(&old).config, &good(&new).config);
    let told: Vec<String> = changed.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "changed apis.shop.routes.\"ANY /v1/{proxy+}\" (llm.models)",
            "changed models.\"gpt-4.1\" (balance)",
            "changed providers.openai (credentials, headers.x-token)",
        ]
    );
    let shown = format!("{:?}", changed[2].values);
    assert!(shown.contains("SECOND") && !shown.contains("hunter"), "{shown}");
}

#[test]
fn stages_versions_and_routes_of_a_version_are_objects_of_their_own() {
    let with = |more: &str| {
        format!(
            "{BEFORE}[apis.v]\nbase_path = \"/v\"\nupstream = \"pets\"\nversioning = {{}}\n\
             [apis.v.versions.v1]\n[apis.v.versions.v2]\n{more}"
        )
    };
    let one = "[[apis.v.routes.\"GET /a\"]]\nversions = [\"v1\"]\n";
    let two = "[[apis.v.routes.\"GET /a\"]]\nversions = [\"v2\"]\n";
    let stage = "[apis.v.stages.dev.variables]\na = \"1\"\n";
    let old = with(&format!("{one}{two}{stage}"));
    assert_eq!(changes(&old, &with(&format!("{two}{one}{stage}"))), Vec::<String>::new());
    let stage = "[apis.v.stages.dev.variables]\na = \"2\"\n[apis.v.stages.prod]\n";
    let new = with(&format!("{two}retry = false\n{one}{stage}[apis.v.versions.v3]\n"));
    let changed = diff(&good(&old).config, &good(&new).config);
    let told: Vec<String> = changed.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "changed apis.v.routes.\"GET /a\" of v2 (retry)",
            "changed apis.v.stages.dev (variables.a)",
            "added apis.v.stages.prod",
            "added apis.v.versions.v3",
        ]
    );
    assert_eq!(changed[1].values, [(Some("1".into()), Some("2".into()))]);
}

#[test]
fn stage_variables_have_the_limits_of_aws() {
    let with = |variables: &str| {
        let text = format!("{MINIMAL}[apis.app.stages.dev.variables]\n{variables}");
        parse_str(&text, "test.toml").map(|_| ()).map_err(|errors| errors[0].message.clone())
    };
    let many = |count: usize| (0..count).map(|n| format!("v{n} = \"\"\n")).collect::<String>();
    assert_eq!(with(&many(100)), Ok(()));
    assert_eq!(with(&many(101)), Err("has more than 100 variables".to_owned()));
    let name = |len: usize| format!("{} = \"\"\n", "n".repeat(len));
    assert_eq!(with(&name(64)), Ok(()));
    assert_eq!(with(&name(65)), Err("not the name of a stage variable".to_owned()));
    let value = |len: usize| format!("v = \"{}\"\n", "x".repeat(len));
    assert_eq!(with(&value(512)), Ok(()));
    assert_eq!(with(&value(513)), Err("longer than 512 characters".to_owned()));
}

#[test]
fn moving_an_object_and_writing_a_default_out_is_no_change() {
    let moved = format!("\n\n# a comment\n{BEFORE}\n[gateway]\npin = true\n");
    assert_eq!(changes(BEFORE, &moved), Vec::<String>::new());
    // The same is what a reload asks of the typed objects.
    let (old, new) = (good(BEFORE).config, good(&moved).config);
    assert_ne!(old.listeners["web"].place.line, new.listeners["web"].place.line);
    assert_eq!(old, new);
}

#[test]
fn a_change_of_a_secret_is_told_without_the_secret() {
    let with = |value: &str| {
        format!("{MINIMAL}\n[apis.app.request_headers]\nset = {{ Authorization = \"{value}\" }}\n")
    };
    let (old, new) = (good(&with("Bearer one")).config, good(&with("Bearer two")).config);
    let changes = diff(&old, &new);
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].what, What::Changed);
    assert_eq!(changes[0].keys, ["request_headers.set.authorization"]);
    assert_eq!(changes[0].values, [(Some("***".into()), Some("***".into()))]);
}

#[test]
fn secrets_in_field_edits_are_masked() {
    let text = format!(
        "{MINIMAL}
[apis.app.request_headers]
set = {{ Authorization = \"Bearer abc1\", X-Api-Key = \"abc2\", X-Plain = \"shown\" }}
add = {{ x-upstream-token = [\"abc3\", \"abc4\"], cookie = \"abc5\" }}
[apis.app.routes.\"GET /x\"]
respond = {{ headers = {{ set-cookie = \"sid=abc6\", x-client-secret = \"abc7\" }} }}
"
    );
    let config = good(&text).config;
    for shown in [config.masked_toml(), config.masked_json().to_string()] {
        assert!(!shown.contains("abc"), "{shown}");
        assert!(shown.contains("shown"), "{shown}");
        assert_eq!(shown.matches("***").count(), 7, "{shown}");
    }
}
