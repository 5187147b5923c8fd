//! `ringway routes FILE`: the route table, listener by listener.

use std::path::Path;

use crate::snapshot::{Action, Route, Snapshot};

/// Prints the table; the exit code.
#[expect(clippy::print_stdout, reason = "what the verb is for")]
pub fn run(file: &Path) -> u8 {
    let snapshot = match super::check::compile(file) {
        Ok(snapshot) => snapshot,
        Err(diagnostics) => return super::complain(&diagnostics),
    };
    for listener in &snapshot.listeners {
        println!("listener {}", listener.name);
        for row in listener.table.routes() {
            let route = &snapshot.routes[row.target as usize];
            println!(
                "  {:<24} {:<32} {:<14} {}",
                row.host.to_string(),
                format!("{} {}", row.base_path, route.key),
                &*route.api,
                ends_in(&snapshot, route)
            );
        }
    }
    super::DONE
}

/// What a route ends in, in a few words.
pub fn ends_in(snapshot: &Snapshot, route: &Route) -> String {
    match &route.action {
        Action::Redirect(redirect) => format!("{} to {}", redirect.status, redirect.to),
        Action::Respond(respond) => format!("answer {}", respond.status),
        Action::Proxy(targets) => {
            let mut before = 0;
            let shares = targets.iter().map(|target| {
                let weight = target.weight_upto - before;
                before = target.weight_upto;
                let name = &snapshot.upstreams[target.upstream].name;
                if targets.len() == 1 { name.to_string() } else { format!("{name}={weight}") }
            });
            shares.collect::<Vec<_>>().join(" ")
        }
    }
}
