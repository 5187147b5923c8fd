//! What is translated between the dialects of language models, as the clients others wrote read it:
//! openai and anthropic for Python. `.ci/run` installs them.

use std::process::Command;

use crate::kit::system::python_with;

#[test]
fn openai_and_anthropic_understand_every_translated_case() {
    let Some(python) = python_with("anthropic, openai") else { return };
    let root = env!("CARGO_MANIFEST_DIR");
    let output = Command::new(python)
        .arg(format!("{root}/tests/it/python/llm_dialect.py"))
        .arg(format!("{root}/tests/data/llm"))
        .output()
        .expect("python runs");
    let (out, err) = (&output.stdout, &output.stderr);
    let text = format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err));
    assert!(output.status.success(), "{text}");
}
