//! How a table comes about: claims first, then routes, then what only shows in the whole.
//!
//! Invariant: nothing here depends on the order of the routes but the words of a conflict, which
//! name the one written first first.

use std::collections::BTreeMap;

use super::{Bases, Claim, Mount, Options, Route, Spec, Table};
use crate::bounds::{ROUTE_METHODS_MAX, ROUTE_SEGMENTS_MAX, ROUTE_VISITS_MAX};
use crate::route::conflict::Conflict;
use crate::route::host::{HostPattern, Hosts};
use crate::route::key::{BasePath, MethodKey, PathPattern, RouteKey, Segment};
use crate::route::trie::{ANY_METHOD, End, Method, NONE, Trie};

// === impl Table ===

impl Table {
    /// Compiles routes.
    ///
    /// # Errors
    /// Every conflict among them, each with the places of both sides.
    pub fn build(specs: Vec<Spec>, options: Options) -> Result<Table, Vec<Conflict>> {
        Table::build_claimed(specs, &[], options)
    }

    /// The same, with base paths that somebody owns.
    ///
    /// # Errors
    /// As [`Table::build`], and base paths that cannot be shared.
    pub fn build_claimed(
        specs: Vec<Spec>,
        claims: &[Claim],
        options: Options,
    ) -> Result<Table, Vec<Conflict>> {
        let mut table = Table {
            options,
            hosts: Hosts::default(),
            bases: Vec::new(),
            mounts: Vec::new(),
            trie: Trie::default(),
            methods: Vec::new(),
            routes: Vec::with_capacity(specs.len()),
        };
        let mut conflicts = Vec::new();
        table.claim(claims, &mut conflicts);
        for spec in specs {
            let Spec { host, base_path, key, target, variant, place } = spec;
            let route = u32::try_from(table.routes.len()).expect("fewer than 2^32 routes");
            table.routes.push(Route { host, base_path, key, target, place });
            if let Err(conflict) = table.insert(route, variant) {
                conflicts.push(conflict);
            }
        }
        table.check_defaults(&mut conflicts);
        table.check_visits(&mut conflicts);
        if conflicts.is_empty() { Ok(table) } else { Err(conflicts) }
    }

    fn claim(&mut self, claims: &[Claim], conflicts: &mut Vec<Conflict>) {
        let mut first: BTreeMap<usize, &Claim> = BTreeMap::new();
        for claim in claims {
            let mount = self.add_mount(&claim.host, &claim.base_path);
            match first.get(&mount) {
                Some(before) if before.chooses || claim.chooses => {
                    conflicts.push(Conflict::Shared {
                        mount: format!("{}{}", claim.host, claim.base_path),
                        first_place: before.place.clone(),
                        second_place: claim.place.clone(),
                    });
                }
                Some(_) => {}
                None => {
                    first.insert(mount, claim);
                    self.mounts[mount].owner = claim.owner;
                    self.mounts[mount].chooses = claim.chooses;
                    if let Some(base_path) = &claim.like {
                        let like = self.add_mount(&claim.host, base_path);
                        self.mounts[mount].like = u32::try_from(like).expect("a mount's number");
                    }
                }
            }
        }
    }

    fn insert(&mut self, route: u32, variant: u16) -> Result<(), Conflict> {
        let Route { host, base_path, key, .. } = self.routes[route as usize].clone();
        let mount = self.add_mount(&host, &base_path);
        let mount = self.add_variant(mount, variant);
        if self.mounts[mount].first == NONE {
            self.mounts[mount].first = route;
        }
        let RouteKey::Path { method, path } = key else {
            let first = std::mem::replace(&mut self.mounts[mount].default, route);
            if first == NONE {
                return Ok(());
            }
            self.mounts[mount].default = first;
            return Err(self.same(first, route));
        };
        if base_path.segments().len() + path.segments.len() > ROUTE_SEGMENTS_MAX {
            let place = self.routes[route as usize].place.clone();
            return Err(Conflict::TooDeep { route: self.name(route), place });
        }
        let method = self.add_method(&method, route)?;
        let (node, end) = self.add_path(self.mounts[mount].root, &path);
        self.trie.leaf(node, end, method, route).map_err(|first| self.same(first, route))
    }

    /// The mount for a host and base path, made if it is not there.
    fn add_mount(&mut self, host: &HostPattern, base_path: &BasePath) -> usize {
        let host = self.hosts.add(host) as usize;
        if host == self.bases.len() {
            self.bases.push(Bases { root: self.trie.root(), deep: false });
        }
        self.bases[host].deep |= !base_path.segments().is_empty();
        let mut node = self.bases[host].root;
        for segment in base_path.segments() {
            node = self.trie.literal(node, segment);
        }
        if let Some(mount) = self.mount_at(node) {
            return mount as usize;
        }
        let id = self.new_mount();
        self.trie.leaf(node, End::Full, ANY_METHOD, id).expect("no mount was at this node");
        id as usize
    }

    /// The mount of a set of routes, made if it is not there; the sets before it as well.
    fn add_variant(&mut self, mount: usize, variant: u16) -> usize {
        if variant == 0 {
            return mount;
        }
        let at = usize::from(variant) - 1;
        while self.mounts[mount].variants.len() <= at {
            let id = self.new_mount();
            self.mounts[mount].variants.push(id);
        }
        self.mounts[mount].variants[at] as usize
    }

    fn new_mount(&mut self) -> u32 {
        let id = u32::try_from(self.mounts.len()).expect("fewer than 2^32 mounts");
        let root = self.trie.root();
        let variants = Vec::new();
        let mount = Mount {
            root,
            default: NONE,
            first: NONE,
            owner: NONE,
            variants,
            like: id,
            chooses: false,
        };
        self.mounts.push(mount);
        id
    }

    fn add_method(&mut self, method: &MethodKey, route: u32) -> Result<Method, Conflict> {
        let MethodKey::Exact(token) = method else { return Ok(ANY_METHOD) };
        if let Some(known) = self.method(token.as_bytes()) {
            return Ok(known);
        }
        if self.methods.len() == ROUTE_METHODS_MAX {
            let place = self.routes[route as usize].place.clone();
            return Err(Conflict::TooManyMethods { route: self.name(route), place });
        }
        self.methods.push(token.as_bytes().into());
        Ok(Method::try_from(self.methods.len()).expect("methods are bounded"))
    }

    fn add_path(&mut self, root: u32, path: &PathPattern) -> (u32, End) {
        let mut node = root;
        for segment in &path.segments {
            node = match segment {
                Segment::Static(bytes) => self.trie.literal(node, bytes),
                Segment::Param(_) => self.trie.param(node),
                Segment::Greedy(_) => return (node, End::Greedy),
            };
        }
        let slash = path.trailing_slash && !self.options.ignore_trailing_slash;
        (node, if slash { End::Slash } else { End::Full })
    }

    fn check_defaults(&self, conflicts: &mut Vec<Conflict>) {
        if self.options.default_beside_proxy {
            return;
        }
        for mount in &self.mounts {
            let proxy = self.trie.leaves(mount.root, End::Greedy).exactly(&self.trie, ANY_METHOD);
            if let (Some(default), Some(proxy)) = (self.routes.get(mount.default as usize), proxy) {
                conflicts.push(Conflict::DefaultBesideProxy {
                    mount: self.mount_name(mount),
                    default_place: default.place.clone(),
                    proxy_place: self.routes[proxy as usize].place.clone(),
                });
            }
        }
    }

    fn check_visits(&mut self, conflicts: &mut Vec<Conflict>) {
        let visits = self.trie.seal();
        for mount in &self.mounts {
            let visits = visits[mount.root as usize];
            if visits > ROUTE_VISITS_MAX {
                conflicts.push(Conflict::TooManyAlternatives {
                    mount: self.mount_name(mount),
                    visits,
                    place: self.routes[mount.first as usize].place.clone(),
                });
            }
        }
    }

    fn same(&self, first: u32, second: u32) -> Conflict {
        Conflict::Same {
            first: self.name(first),
            first_place: self.routes[first as usize].place.clone(),
            second: self.name(second),
            second_place: self.routes[second as usize].place.clone(),
        }
    }

    /// `host[/base] key`.
    fn name(&self, route: u32) -> String {
        let Route { host, base_path, key, .. } = &self.routes[route as usize];
        format!("{host}{base_path} {key}")
    }

    fn mount_name(&self, mount: &Mount) -> String {
        let Some(Route { host, base_path, .. }) = self.routes.get(mount.first as usize) else {
            return String::new(); // without a route it is in no conflict
        };
        format!("{host}{base_path}")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::route::{Lookup, Params, Place};

    fn base(path: &str) -> BasePath {
        BasePath::parse(path).unwrap()
    }

    fn claim(path: &str, owner: u32, chooses: bool) -> Claim {
        let place = Place(format!("c:{owner}"));
        Claim { host: HostPattern::Any, base_path: base(path), owner, chooses, like: None, place }
    }

    fn spec(path: &str, key: &str, variant: u16, target: u32) -> Spec {
        Spec {
            host: HostPattern::Any,
            base_path: base(path),
            key: RouteKey::parse(key).unwrap(),
            target,
            variant,
            place: Place(format!("r:{target}")),
        }
    }

    fn find(table: &Table, path: &str, variant: Option<u16>) -> (Lookup, Option<u32>) {
        let mut params = Params::new();
        let found = table.find_chosen(b"h", b"GET", path.as_bytes(), &mut params, |_, _| variant);
        (found, params.owner())
    }

    #[test]
    fn a_claim_owns_its_paths_also_where_no_route_is() {
        let claims = [claim("/a", 7, false), claim("/a/b", 8, false)];
        let specs = vec![spec("/a", "GET /x", 0, 1), spec("", "GET /y", 0, 2)];
        let table = Table::build_claimed(specs, &claims, Options::default()).unwrap();
        assert_eq!(find(&table, "/a/x", None), (Lookup::Found(1), Some(7)));
        assert_eq!(find(&table, "/a/none", None), (Lookup::NotFound, Some(7)));
        assert_eq!(find(&table, "/a/b/x", None), (Lookup::NotFound, Some(8)), "only its own paths");
        assert_eq!(find(&table, "/y", None), (Lookup::Found(2), None));
    }

    #[test]
    fn sets_of_routes_under_one_base_path_do_not_see_each_other() {
        let own = Claim { like: Some(base("/a")), ..claim("/a/v1", 8, true) };
        let claims = [claim("/a", 7, true), own];
        let specs = vec![
            spec("/a", "GET /{any}", 1, 1),
            spec("/a", "GET /x", 2, 2),
            spec("/a", "GET /list", 0, 3),
            spec("/a/v1", "GET /{any}", 0, 4),
        ];
        let table = Table::build_claimed(specs, &claims, Options::default()).unwrap();
        let found = |path, variant| find(&table, path, Some(variant)).0;
        assert_eq!(found("/a/x", 1), Lookup::Found(1), "the literal is of another set");
        assert_eq!(found("/a/x", 2), Lookup::Found(2));
        assert_eq!(found("/a/y", 2), Lookup::NotFound);
        assert_eq!(found("/a/list", 0), Lookup::Found(3));
        assert_eq!(found("/a/v1/x", 0), Lookup::Found(4));
        assert_eq!(found("/a/v1/x", 2), Lookup::Found(2), "as below /a");
        assert_eq!(found("/a/x", 9), Lookup::NotFound);
        assert_eq!(find(&table, "/a/x", None), (Lookup::NotFound, Some(7)));
    }

    #[test]
    fn a_base_path_that_chooses_is_shared_with_nobody() {
        let shared = [claim("/a", 7, false), claim("/a", 8, true)];
        let wrong = Table::build_claimed(Vec::new(), &shared, Options::default()).unwrap_err();
        assert_eq!(wrong.len(), 1);
        let told = wrong[0].to_string();
        assert!(told.starts_with("c:8: ") && told.contains("c:7"), "{told}");
        let plain = [claim("/a", 7, false), claim("/a", 8, false)];
        assert!(Table::build_claimed(Vec::new(), &plain, Options::default()).is_ok());
    }

    proptest! {
        /// Each set answers as a table of its routes alone would.
        #[test]
        fn a_set_is_a_table_of_its_own(
            keys in prop::collection::btree_set((0_u16..4, "(/[ab]|/\\{p\\}){1,3}"), 1..12),
            path in "(/[abc]){1,4}",
        ) {
            let is_key = |key: &str| key.matches('{').count() < 2;
            let keys: Vec<_> = keys.into_iter().filter(|(_, key)| is_key(key)).collect();
            let specs: Vec<_> = keys
                .iter()
                .zip(0..)
                .map(|((variant, key), target)| spec("/b", &format!("GET {key}"), *variant, target))
                .collect();
            let claims = [claim("/b", 0, true)];
            let all = Table::build_claimed(specs.clone(), &claims, Options::default()).unwrap();
            for variant in 0..4 {
                let alone = specs.iter().filter(|spec| spec.variant == variant);
                let alone = alone.map(|spec| Spec { variant: 0, ..spec.clone() }).collect();
                let alone = Table::build(alone, Options::default()).unwrap();
                let path = format!("/b{path}");
                prop_assert_eq!(find(&all, &path, Some(variant)).0, find(&alone, &path, None).0);
            }
        }
    }
}
