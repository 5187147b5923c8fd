//! Sets `cfg(loom)` for this crate alone, so that plain `cargo test` explores.

fn main() {
    println!("cargo::rustc-cfg=loom");
    println!("cargo::rerun-if-changed=build.rs");
}
