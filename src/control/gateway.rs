//! The running gateway: start, reload, drain.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use super::house::House;
use super::house::api::{self, Ask, NotLoaded, What};
use super::ledger::Ledger;
use super::log_sink::{LogSink, Target};
use super::names::NameBook;
pub use super::start_error::StartError;
use super::state::{self, Keeper};
use super::store::{Clerk, ReloadSeen};
use crossbeam_channel::Receiver;

use crate::bounds;
use crate::clock;
use crate::config::{self, Change, Config, IoChoice, LogPath};
use crate::limit::Store;
use crate::net::ring::{self, Driver};
use crate::net::wake;
use crate::observe::access_log::WorkerLog;
use crate::observe::cells::{Reload, WorkerId};
use crate::observe::registry::Registry;
use crate::proxy::ledger::WorkerLedger;
use crate::snapshot::{self, Cell, Parts, Snapshot, Sockets};
use crate::worker;

/// A gateway that serves.
pub struct Gateway {
    /// Where the configuration comes from; `None`: it is built in.
    source: Option<PathBuf>,
    cell: Arc<Cell>,
    registry: Arc<Registry>,
    names: Arc<NameBook>,
    sockets: Sockets,
    workers: Vec<Worker>,
    log: LogSink,
    ledger: Ledger,
    house: House,
    clerk: Clerk,
    asks: Receiver<Ask>,
    limits: Arc<Store>,
    /// Ends last: what was counted is on the disk.
    _keeper: Keeper,
    pub driver: Driver,
}

struct Worker {
    waker: wake::Waker,
    thread: JoinHandle<()>,
}

// === impl Gateway ===

impl Gateway {
    /// Binds, compiles, starts the workers; serving when this returns.
    ///
    /// # Errors
    /// What is wrong and how to mend it.
    pub fn start(
        config: Config,
        source: Option<PathBuf>,
        inherited: Sockets,
    ) -> Result<Gateway, StartError> {
        let (driver, complaint) = ring::probe(wanted(config.gateway.io))
            .map_err(|refused| StartError::System(refused.to_string()))?;
        if let Some(complaint) = complaint {
            tracing::warn!("{complaint}");
        }
        let cores = ring::cores();
        let count = config.gateway.workers.unwrap_or(cores.len()).min(crate::bounds::WORKERS_MAX);
        let workers = u16::try_from(count).expect("WORKERS_MAX is below 65,536");
        let sockets = inherited
            .with(addresses(&config), count)
            .map_err(|(address, error)| StartError::Bind(address, error))?;
        let registry = Arc::new(Registry::new(workers));
        let names = Arc::new(NameBook::new(&config.gateway.dns));
        names.learn(&wanted_names(&config));
        let access = log_target(&config);
        let limits = state::open(&config.gateway)?;
        let has_file = config.gateway.state_dir.is_some();
        let snapshot = {
            let known = names.known();
            let parts = Parts {
                previous: None,
                registry: &registry,
                names: &known,
                sockets: &sockets,
                limits: &limits,
            };
            snapshot::compile(Arc::new(config), &parts).map_err(StartError::Config)?
        };
        snapshot.keys.publish().map_err(StartError::Config)?;
        let clerk = Clerk::of(&snapshot).map_err(StartError::Store)?;
        publish_tls(&snapshot);
        let cell = Arc::new(Cell::new(Arc::new(snapshot)));
        registry.control().published(1, clock::wall());
        let (log, ledger, outlets) = start_outlets(access, &cell, &registry, workers)?;
        // Before any worker accepts: if the admin address is taken, no client has been let in.
        let keeper = Keeper::start(&limits, has_file)
            .map_err(|error| system("cannot keep the limits", &error))?;
        let (asking, asks) = crossbeam_channel::bounded(bounds::ASKS_MAX);
        let desks = (clerk.clone(), ledger.desk());
        let house = House::start(cell.clone(), registry.clone(), driver, desks, asking)?;
        let workers = start_workers(&cell, &registry, driver, outlets)?;
        let gateway = Gateway {
            source,
            cell,
            registry,
            names,
            sockets,
            workers,
            log,
            ledger,
            house,
            clerk,
            asks,
            limits,
            _keeper: keeper,
            driver,
        };
        gateway.note("start", &Ok((1, Vec::new())));
        say_what_token_lacks(&gateway.cell.load().config);
        gateway.names.clone().watch(gateway.cell.clone(), gateway.registry.clone());
        Ok(gateway)
    }

    /// How many workers serve.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    /// Where the admin server listens, if it runs.
    #[must_use]
    pub fn admin(&self) -> Option<std::net::SocketAddr> {
        self.house.admin
    }

    /// The snapshot in force.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.cell.load()
    }

    /// Reads the configuration anew and publishes it; on any error the old one stays.
    pub fn reload(&mut self) {
        // What it came to is in the log.
        let _ = self.reload_for("signal");
    }

    /// What the admin API asks of this thread.
    #[must_use]
    pub fn asks(&self) -> &Receiver<Ask> {
        &self.asks
    }

    /// Does it, and answers.
    pub fn answer(&mut self, ask: Ask) {
        let page = match ask.what {
            What::Reload { cause } => api::reloaded(&self.reload_for(&cause)),
            What::Preview => api::preview(&self.preview()),
        };
        ask.promise.keep(page);
    }

    fn reload_for(&mut self, cause: &str) -> Result<(u64, Vec<Change>), NotLoaded> {
        let Some(source) = self.source.clone() else {
            tracing::info!("the demo's configuration is built in, nothing to reload");
            return Err(NotLoaded::NoFile);
        };
        let outcome = self.try_reload(&source);
        self.registry.control().reloaded(match &outcome {
            Ok(_) => Reload::Applied,
            Err(error) => {
                tracing::error!("reload refused, the old configuration stays:\n{error}");
                Reload::Rejected
            }
        });
        // Whichever is in force now.
        self.names.forget_others(&wanted_names(&self.cell.load().config));
        self.note(cause, &outcome);
        outcome.map_err(NotLoaded::Wrong)
    }

    /// Writes a reload down; the store does it when it comes to it.
    fn note(&self, cause: &str, outcome: &Result<(u64, Vec<Change>), StartError>) {
        let told = |changes: &Vec<Change>| changes.iter().map(ToString::to_string).collect();
        let seen = ReloadSeen {
            at: clock::wall(),
            generation: self.cell.load().generation,
            applied: outcome.is_ok(),
            cause: cause.to_owned(),
            changes: outcome.as_ref().map_or_else(|_| Vec::new(), |(_, changes)| told(changes)),
            error: outcome.as_ref().err().map(ToString::to_string),
        };
        let counts = self.clerk.counts.clone();
        let noted = self.clerk.ask(move |store| {
            let done = store.note_reload(&seen);
            counts.wrote(done.is_ok());
            if let Err(error) = done {
                tracing::error!(%error, "a reload is not written down");
            }
        });
        if !noted {
            tracing::error!("a reload is not written down: too much waits for the store");
        }
    }

    /// What a reload would change now.
    fn preview(&self) -> Result<(u64, Vec<Change>), NotLoaded> {
        let source = self.source.as_ref().ok_or(NotLoaded::NoFile)?;
        let wrong = |all| NotLoaded::Wrong(StartError::Config(all));
        let loaded = config::load(source).map_err(wrong)?;
        let old = self.cell.load();
        let changes = config::diff(&old.config, &loaded.config);
        // Compiled as a reload would, but for sockets and names, and thrown away.
        let parts = Parts {
            previous: None,
            registry: &Registry::new(1),
            names: &snapshot::Names::new(),
            sockets: &Sockets::default(),
            limits: &self.limits,
        };
        snapshot::compile(Arc::new(loaded.config), &parts).map_err(wrong)?;
        Ok((old.generation, changes))
    }

    fn try_reload(&mut self, source: &std::path::Path) -> Result<(u64, Vec<Change>), StartError> {
        let loaded = config::load(source).map_err(StartError::Config)?;
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        let old = self.cell.load();
        let changes = config::diff(&old.config, &loaded.config);
        let sockets = self
            .sockets
            .with(addresses(&loaded.config), self.workers.len())
            .map_err(|(address, error)| StartError::Bind(address, error))?;
        self.names.learn(&wanted_names(&loaded.config));
        let snapshot = {
            let known = self.names.known();
            let parts = Parts {
                previous: Some(&old),
                registry: &self.registry,
                names: &known,
                sockets: &sockets,
                limits: &self.limits,
            };
            snapshot::compile(Arc::new(loaded.config), &parts).map_err(StartError::Config)?
        };
        let target = log_target(&snapshot.config);
        // Anew even if the path stays: logrotate's file is gone, its name is not.
        self.log
            .reopen(Some(target))
            .recv()
            .unwrap_or_else(|_| Err(std::io::ErrorKind::BrokenPipe.into()))
            .map_err(|error| StartError::System(format!("cannot open the access log: {error}")))?;
        // The last that can fail: from here on the new configuration is in force.
        snapshot.keys.publish().map_err(StartError::Config)?;
        snapshot.keys.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
        say_what_stays(&old.config, &snapshot.config);
        self.ledger.keep(snapshot.config.ledger.keep);
        let generation = snapshot.generation;
        self.sockets = sockets;
        publish_tls(&snapshot);
        self.cell.publish(Arc::new(snapshot));
        self.registry.control().published(generation, clock::wall());
        self.wake();
        if changes.is_empty() {
            tracing::info!(generation, "reloaded: certificates read anew, nothing else changed");
        }
        for change in &changes {
            tracing::info!(generation, "reloaded: {change}");
        }
        say_what_token_lacks(&self.cell.load().config);
        Ok((generation, changes))
    }

    /// Reopens the access log: after logrotate moved it away.
    pub fn reopen_logs(&self) {
        match self.log.reopen(None).recv() {
            Ok(Ok(())) => tracing::info!("access log reopened"),
            Ok(Err(error)) => {
                tracing::error!(%error, "access log not reopened, the old file stays")
            }
            Err(_) => {}
        }
    }

    /// Ends: not ready, then no new connections, then every request to its end or the deadline.
    /// `cut` is asked meanwhile whether to stop waiting.
    pub fn drain(self, mut cut: impl FnMut(Duration) -> bool) {
        let config = self.cell.load().config.clone();
        self.house.not_ready();
        let delay = config.gateway.drain_delay;
        if !delay.is_zero() {
            tracing::info!(?delay, "draining: /readyz says no, still accepting");
            if cut(delay) {
                return;
            }
        }
        let deadline = config.gateway.drain_deadline;
        tracing::info!(?deadline, "draining: no new connections");
        self.cell.drain(clock::now().after(deadline));
        self.wake();
        while self.workers.iter().any(|worker| !worker.thread.is_finished()) {
            if cut(Duration::from_millis(20)) {
                return;
            }
        }
        for worker in self.workers {
            let _ = worker.thread.join();
        }
        // The last worker has pushed its last entry.
        if let Err(error) = self.ledger.finish(bounds::LEDGER_FINISH) {
            tracing::error!(%error, "the usage ledger is not complete");
        }
        if let Err(error) = self.log.finish(Duration::from_secs(5)) {
            tracing::warn!(?error, "the access log is not complete");
        }
        tracing::info!("drained");
    }

    fn wake(&self) {
        self.workers.iter().for_each(|worker| worker.waker.wake());
    }
}

/// What a worker writes into.
type Outlets = (WorkerLog, WorkerLedger);

/// Starts the access log and the usage ledger.
fn start_outlets(
    access: Target,
    cell: &Cell,
    registry: &Arc<Registry>,
    workers: u16,
) -> Result<(LogSink, Ledger, Vec<Outlets>), StartError> {
    let (log, logs) = LogSink::start(access, workers, registry.clone())
        .map_err(|error| system("cannot open the access log", &error))?;
    let (ledger, ledgers) =
        Ledger::start(&cell.load().config, workers).map_err(StartError::Store)?;
    Ok((log, ledger, logs.into_iter().zip(ledgers).collect()))
}

/// Starts a worker for each of these logs and ledgers.
fn start_workers(
    cell: &Arc<Cell>,
    registry: &Arc<Registry>,
    driver: Driver,
    outlets: Vec<Outlets>,
) -> Result<Vec<Worker>, StartError> {
    let cores = ring::cores();
    let pin = cell.load().config.gateway.pin;
    let start = |(at, (log, ledger)): (usize, Outlets)| {
        let core = pin.then(|| cores[at % cores.len()]);
        let (waker, wakes) = wake::pair().map_err(|error| system("cannot wake workers", &error))?;
        let seat = worker::Seat {
            id: WorkerId(u16::try_from(at).expect("as many as there are workers")),
            core,
            driver,
            cell: cell.clone(),
            wakes,
            cells: registry.workers(),
            unrouted: registry.unrouted(),
            log,
            ledger,
            seed: seed(at),
        };
        let thread =
            spawn_worker(at, seat).map_err(|error| system("cannot start a worker", &error))?;
        Ok(Worker { waker, thread })
    };
    outlets.into_iter().enumerate().map(start).collect()
}

fn system(what: &str, error: &std::io::Error) -> StartError {
    StartError::System(format!("{what}: {error}"))
}

fn spawn_worker(at: usize, seat: worker::Seat) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(format!("worker-{at}")).spawn(move || {
        if let Err(error) = worker::run(seat) {
            tracing::error!(worker = at, %error, "a worker cannot set up its ring");
            // A gateway without a worker would drop its share of the connections.
            std::process::exit(1);
        }
    })
}

/// Certificates become visible to clients with the snapshot, not before.
fn publish_tls(snapshot: &Snapshot) {
    for listener in &snapshot.listeners {
        if let Some(tls) = &listener.tls {
            tls.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
            tls.publish();
        }
    }
}

/// What a reload cannot change is said, not ignored.
fn say_what_stays(old: &Config, new: &Config) {
    let fixed = [
        ("gateway.workers", old.gateway.workers != new.gateway.workers),
        ("gateway.io", old.gateway.io != new.gateway.io),
        ("gateway.pin", old.gateway.pin != new.gateway.pin),
        ("gateway.buffers_max", old.gateway.buffers_max != new.gateway.buffers_max),
        ("gateway.state_dir", old.gateway.state_dir != new.gateway.state_dir),
        ("gateway.limits_max", old.gateway.limits_max != new.gateway.limits_max),
        ("gateway.dns", old.gateway.dns != new.gateway.dns),
        ("admin.enabled", old.admin.enabled != new.admin.enabled),
        ("admin.address", old.admin.address != new.admin.address),
        ("log.level", old.log.level != new.log.level),
        ("log.access.queue", old.log.access.queue != new.log.access.queue),
    ];
    for (key, _) in fixed.iter().filter(|(_, changed)| *changed) {
        tracing::warn!("{key} changed: it takes effect at the next start");
    }
}

fn say_what_token_lacks(config: &Config) {
    api::complaints(&config.admin).iter().for_each(|text| tracing::warn!("{text}"));
}

/// What the configuration asks of the ring's probe.
pub fn wanted(choice: IoChoice) -> ring::Wanted {
    match choice {
        IoChoice::Auto => ring::Wanted::Auto,
        IoChoice::Uring => ring::Wanted::Uring,
        IoChoice::Epoll => ring::Wanted::Epoll,
    }
}

fn addresses(config: &Config) -> impl Iterator<Item = snapshot::Wanted> + '_ {
    config.listeners.iter().flat_map(|(name, conf)| snapshot::Wanted::of(name, conf))
}

fn wanted_names(config: &Config) -> BTreeSet<String> {
    let endpoints = config.all_upstreams().flat_map(|(_, upstream, _)| &upstream.endpoints);
    endpoints
        .filter_map(|endpoint| match &endpoint.address {
            config::EndpointAddress::Ip(_) => None,
            config::EndpointAddress::Name { host, .. } => Some(host.clone()),
        })
        .collect()
}

fn log_target(config: &Config) -> Target {
    match &config.log.access.path {
        LogPath::Stdout => Target::Stdout,
        LogPath::Stderr => Target::File("/dev/stderr".into()),
        LogPath::File(file) => Target::File(file.path.clone()),
    }
}

/// Workers draw differently, and so do gateways started together. Nothing secret hangs on it.
fn seed(worker: usize) -> u64 {
    clock::wall().0 ^ (u64::from(std::process::id()) << 40) ^ ((worker as u64) << 56)
}
