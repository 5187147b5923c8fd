//! Where the routes of an API stand: which hosts and base paths lead to which stage and version.
//!
//! An API without stages and versions has one base path for each of its hosts. A stage is a segment
//! more, a version named by the path another; a domain's mapping stands in place of the API's own
//! base path. What a request's fields or query choose stands under one base path as several sets of
//! routes. Invariant: what comes out depends on names only, never on an order in the file.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::api::{Api, Mount};
use crate::config::{self, Config, DEFAULT_STAGE, Host, Name, Place, Select};
use crate::route::version::Selector;
use crate::route::{self, BasePath, Claim, HostPattern};

/// A base path, and what of its API is below it.
pub struct Base {
    pub host: HostPattern,
    pub path: BasePath,
    pub mount: Mount,
    /// The stage it is of; `None`: no stage is reached by this very path.
    pub stage: Option<Arc<str>>,
    /// The stage's own base path, of one that a version is part of.
    pub root: Option<BasePath>,
    pub place: Place,
}

/// What all base paths of an API have in common.
pub struct Plan<'c> {
    pub config: &'c Config,
    pub name: &'c Name,
    pub conf: &'c config::Api,
    pub api: Arc<Api>,
    pub documents: Arc<[String]>,
}

/// A host and path under which stages are.
struct Door<'c> {
    host: &'c Host,
    path: String,
    /// A mapping's: it alone is there, without its name.
    stage: Option<&'c Name>,
    /// The version that the host names.
    version: Option<u16>,
    place: &'c Place,
}

// === impl Plan ===

impl Plan<'_> {
    /// All base paths of the API.
    #[must_use]
    pub fn bases(&self) -> Vec<Base> {
        let mut bases = Vec::new();
        for door in self.doors() {
            let mut has_root = false;
            for (stage, path) in self.stages(&door) {
                has_root |= path == door.path;
                self.versions(&door, Some(stage), &path, &mut bases);
            }
            if !has_root {
                // Its paths are the API's, though no stage answers there.
                bases.push(self.base(&door, None, &door.path, &[], None));
            }
        }
        bases
    }

    fn doors(&self) -> Vec<Door<'_>> {
        let Plan { name, conf, .. } = self;
        let own = |host, version| Door {
            host,
            path: conf.base_path.clone(),
            stage: None,
            version,
            place: &conf.place,
        };
        let mut doors: Vec<_> = conf.hosts.iter().map(|host| own(host, None)).collect();
        if self.selects(Select::Host) {
            let versions = conf.versioning.iter().flat_map(|versioning| &versioning.versions);
            for (id, version) in versions {
                let at = self.api.versions.as_ref().and_then(|all| all.find(id.as_bytes()));
                doors.extend(version.hosts.iter().map(|host| own(host, at)));
            }
        }
        for domain in self.config.domains.values() {
            let mine = domain.mappings.iter().filter(|mapping| mapping.api == **name);
            doors.extend(mine.map(|mapping| Door {
                host: &domain.host,
                path: mapping.path.clone(),
                stage: mapping.stage.as_ref(),
                version: None,
                place: &mapping.place,
            }));
        }
        doors
    }

    /// The stages behind a door, each with its base path.
    fn stages(&self, door: &Door<'_>) -> Vec<(Arc<str>, String)> {
        let path = &door.path;
        if self.conf.stages.is_empty() {
            return vec![(Arc::from(""), path.clone())];
        }
        if let Some(stage) = door.stage {
            return vec![(Arc::from(&**stage), path.clone())];
        }
        let names = self.conf.stages.keys();
        let place = |name: &Name| match &**name {
            DEFAULT_STAGE => (Arc::from(DEFAULT_STAGE), path.clone()),
            name => (Arc::from(name), below(path, name)),
        };
        names.map(place).collect()
    }

    /// The base paths of one stage: its own, and one for each version that a path names.
    fn versions(
        &self,
        door: &Door<'_>,
        stage: Option<Arc<str>>,
        path: &str,
        bases: &mut Vec<Base>,
    ) {
        let Some(versions) = &self.api.versions else {
            bases.push(self.base(door, stage, path, &[], None));
            return;
        };
        let asks = self.asks_before(door.version.map(|_| Select::Host));
        let otherwise = door.version.or(versions.default);
        let mut root = self.base(door, stage.clone(), path, &asks, otherwise);
        root.mount.is_root = true;
        let (root_path, prefix) = (root.path.clone(), root.mount.prefix.clone());
        bases.push(root);
        if !self.selects(Select::Path) {
            return;
        }
        for (at, version) in versions.list.iter().enumerate() {
            let by_path = u16::try_from(at).expect("versions are bounded");
            // A host may name a version too: the one that is asked first.
            let (named, by) = match door.version {
                Some(by_host) if self.is_before(Select::Host, Select::Path) => {
                    (by_host, Select::Host)
                }
                _ => (by_path, Select::Path),
            };
            let asks = self.asks_before(Some(by));
            let deep = below(path, &version.id);
            let mut base = self.base(door, stage.clone(), &deep, &asks, Some(named));
            base.mount.prefix.clone_from(&prefix);
            base.root = Some(root_path.clone());
            bases.push(base);
        }
    }

    fn base(
        &self,
        door: &Door<'_>,
        stage: Option<Arc<str>>,
        path: &str,
        asks: &[Selector],
        otherwise: Option<u16>,
    ) -> Base {
        let host = HostPattern::parse(&door.host.to_string()).expect("config has checked the host");
        let mount = Mount {
            api: self.api.clone(),
            prefix: path.trim_end_matches('/').to_owned(),
            is_root: false,
            asks: asks.to_vec(),
            otherwise,
            documents: self.documents.clone(),
        };
        let path = BasePath::parse(path).expect("config has checked the path");
        Base { host, path, mount, stage, root: None, place: door.place.clone() }
    }

    fn selects(&self, select: Select) -> bool {
        self.order().contains(&select)
    }

    fn order(&self) -> &[Select] {
        self.conf.versioning.as_ref().map_or(&[], |versioning| &versioning.select)
    }

    fn is_before(&self, first: Select, second: Select) -> bool {
        let at = |select| self.order().iter().position(|other| *other == select);
        at(first) < at(second)
    }

    /// The selectors that look into the request and come before this one.
    fn asks_before(&self, end: Option<Select>) -> Vec<Selector> {
        let Some(versioning) = &self.conf.versioning else { return Vec::new() };
        let before = self.order().iter().take_while(|select| Some(**select) != end);
        let selector = |select: &Select| match select {
            Select::Header => Some(Selector::Header(versioning.header.clone())),
            Select::Query => Some(Selector::Query(versioning.query.clone())),
            Select::MediaType => Some(Selector::MediaType),
            Select::Path | Select::Host => None,
        };
        before.filter_map(selector).collect()
    }
}

// === impl Base ===

impl Base {
    /// Whether which version it leads to is chosen request by request.
    #[must_use]
    pub fn chooses(&self) -> bool {
        !self.mount.asks.is_empty()
    }

    /// The claim in the route table.
    #[must_use]
    pub fn claim(&self, owner: u32) -> Claim {
        Claim {
            host: self.host.clone(),
            base_path: self.path.clone(),
            owner,
            chooses: self.chooses(),
            like: self.root.clone().filter(|_| self.chooses()),
            place: route::Place(self.place.to_string()),
        }
    }
}

/// A segment below a base path.
fn below(path: &str, segment: &str) -> String {
    format!("{}/{segment}", path.trim_end_matches('/'))
}

/// The listeners of an API, where it names them.
pub type Listeners<'c> = Option<&'c BTreeSet<Name>>;
