//! `ringway check FILE`: validates as a load would, binds nothing.

use std::path::Path;
use std::sync::Arc;

use crate::config;
use crate::control::gateway::wanted;
use crate::control::state;
use crate::net::ring;
use crate::observe::registry::Registry;
use crate::route::version::Status;
use crate::snapshot::{self, Names, Parts, Snapshot, Sockets};

/// Checks and prints; the exit code.
#[expect(clippy::print_stdout, reason = "what the verb is for")]
pub fn run(file: &Path) -> u8 {
    let snapshot = match compile(file) {
        Ok(snapshot) => snapshot,
        Err(diagnostics) => return super::complain(&diagnostics),
    };
    let config = &snapshot.config;
    match ring::probe(wanted(config.gateway.io)) {
        Ok((driver, complaint)) => {
            println!("io         {driver}");
            complaint.iter().for_each(|text| println!("           warning: {text}"));
        }
        Err(refused) => {
            eprintln!("error: {refused}");
            return super::FAILED;
        }
    }
    let workers = config.gateway.workers.unwrap_or_else(|| ring::cores().len());
    println!("workers    {workers}");
    for (name, listener) in &config.listeners {
        for listen in &listener.addresses {
            let tls = if listener.tls.is_some() { "  TLS" } else { "" };
            println!("listener   {name}  {}{tls}", listen.address);
        }
    }
    for (name, upstream) in &config.upstreams {
        let endpoints = upstream.endpoints.iter().map(|endpoint| endpoint.address.to_string());
        println!("upstream   {name}  {}", endpoints.collect::<Vec<_>>().join(", "));
    }
    for (name, provider) in &config.providers {
        let names = provider.credentials.iter().map(|credential| &*credential.name);
        let names = names.collect::<Vec<_>>().join(", ");
        println!("provider   {name}  {}  {}  {names}", provider.dialect.name(), provider.base_url);
    }
    for (name, model) in &config.models {
        println!("model      {name}  {model}");
    }
    for (name, limit) in &config.limits {
        println!("limit      {name}  {limit}");
    }
    for (name, api) in &config.apis {
        let hosts = api.hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        println!("api        {name}  {hosts}  {}  {} routes", api.base_path, api.routes.len());
    }
    for (name, plan) in &config.plans {
        let apis = plan
            .apis
            .as_ref()
            .map_or("wherever keys are asked for".to_owned(), |apis| apis.join(", "));
        println!("plan       {name}  {apis}");
    }
    for (name, key) in &config.keys {
        let plans = key.plans.iter().map(|plan| plan.to_string()).collect::<Vec<_>>().join(", ");
        let off = if key.enabled { "" } else { "  disabled" };
        println!("key        {name}  {} value(s)  {plans}{off}", key.values.len());
    }
    versions(&snapshot);
    println!("{}: ok", file.display());
    super::DONE
}

/// Where each version stands today.
#[expect(clippy::print_stdout, reason = "what the verb is for")]
fn versions(snapshot: &Snapshot) {
    let now = crate::clock::wall();
    for api in &snapshot.apis {
        for version in api.versions.iter().flat_map(|versions| &versions.list) {
            let status = version.life.at(now, u32::MAX).status;
            let sunset = version.life.sunset.filter(|_| status < Status::Sunset).map(|sunset| {
                let days = sunset.saturating_sub(now.seconds()).div_ceil(86_400);
                format!(", {days} days to its sunset")
            });
            let (name, status) = (&api.name, status.name());
            println!("version    {name} {}  {status}{}", version.id, sunset.unwrap_or_default());
        }
    }
}

/// Compiles a file as a load would, without sockets and names.
pub fn compile(file: &Path) -> Result<Snapshot, Vec<config::Diagnostic>> {
    let loaded = config::load(file)?;
    for warning in &loaded.warnings {
        eprintln!("warning: {warning}");
    }
    let registry = Registry::new(1);
    let parts = Parts {
        previous: None,
        registry: &registry,
        names: &Names::new(),
        sockets: &Sockets::default(),
        limits: &state::for_check().expect("memory for a table of 256 slots"),
    };
    snapshot::compile(Arc::new(loaded.config), &parts)
}
