//! The compiled routes of a snapshot: built whole or not at all, then only read.
//!
//! A lookup decides host, then base path, then route, and never goes back: the most specific host
//! pattern and under it the longest base path own the request (AWS: "only mapping paths are looked
//! at"). Then AWS's order for HTTP APIs: (1) full match of route and method, literal before
//! parameter, segment by segment, a method's own route before `ANY` on the same path; (2) greedy
//! match, longest prefix first; (3) `$default`. `HEAD` is not `GET`. Parameters come out as spans
//! of the path, not decoded.

mod build;

use std::ops::ControlFlow;

use smallvec::SmallVec;

use super::conflict::Place;
use super::host::{HostPattern, Hosts};
use super::key::{BasePath, RouteKey, Segment};
use super::trie::{ANY_METHOD, Cut, End, Method, NONE, Starts, Trie};

/// One route as configured.
#[derive(Clone, Debug)]
pub struct Spec {
    /// For which hosts.
    pub host: HostPattern,
    /// Under which base path.
    pub base_path: BasePath,
    /// For which methods and paths below it.
    pub key: RouteKey,
    /// What it leads to: the caller's number.
    pub target: u32,
    /// Which of the sets of routes under that base path it is of; 0 unless a [`Claim`] chooses.
    pub variant: u16,
    /// Where it was written.
    pub place: Place,
}

/// Whose a base path of a host is, also where no route is below it.
#[derive(Clone, Debug)]
pub struct Claim {
    pub host: HostPattern,
    pub base_path: BasePath,
    /// The caller's number, which [`Params::owner`] gives back.
    pub owner: u32,
    /// Which set of routes a request is looked up in is for the caller to choose, request by
    /// request; such a base path has one owner only.
    pub chooses: bool,
    /// Another base path of the host: what is chosen besides its own set of routes is there.
    pub like: Option<BasePath>,
    /// Where it was written.
    pub place: Place,
}

/// How a table reads paths and which sets of routes it accepts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// `/pets` and `/pets/` are one path, as in AWS REST APIs. Off: two, as in AWS HTTP APIs.
    pub ignore_trailing_slash: bool,
    /// Accept `$default` beside `ANY /{proxy+}`: it then takes the root path only.
    pub default_beside_proxy: bool,
}

/// The outcome of a lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// The target of the route.
    Found(u32),
    /// No route takes this request. [`Table::methods_on`] tells which methods the path has, for a
    /// 405.
    NotFound,
}

/// A piece of the path that was looked up: `path[start..start + len]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// Bytes.
    pub len: u32,
}

/// What a lookup found besides the target. Reuse one: it keeps its memory.
#[derive(Clone, Debug)]
pub struct Params {
    route: u32,
    owner: u32,
    base_len: u32,
    spans: SmallVec<[Span; 8]>,
}

/// A route of a built table.
#[derive(Clone, Debug)]
pub struct Route {
    /// For which hosts.
    pub host: HostPattern,
    /// Under which base path.
    pub base_path: BasePath,
    /// For which methods and paths below it.
    pub key: RouteKey,
    /// What it leads to.
    pub target: u32,
    /// Where it was written.
    pub place: Place,
}

/// The routes of a snapshot, compiled.
#[derive(Debug)]
pub struct Table {
    options: Options,
    hosts: Hosts,
    /// By host number.
    bases: Vec<Bases>,
    mounts: Vec<Mount>,
    trie: Trie,
    /// By method number less one.
    methods: Vec<Box<[u8]>>,
    routes: Vec<Route>,
}

/// The base paths of one host.
#[derive(Debug)]
struct Bases {
    /// Of the tree of base paths.
    root: u32,
    /// Whether there is any but the empty one.
    deep: bool,
}

/// One base path of one host.
#[derive(Debug)]
struct Mount {
    root: u32,
    default: u32,
    /// The first route under it: for messages.
    first: u32,
    /// The number of its claim; `NONE` without one.
    owner: u32,
    /// Where its other sets of routes are, the first of them variant 1; empty: it has but one.
    variants: Vec<u32>,
    /// The mount whose `variants` are its own; itself, mostly.
    like: u32,
    chooses: bool,
}

// === impl Table ===

impl Table {
    /// Finds the route of a request. `host` is without port, `path` without query and in the form
    /// that will be forwarded (see [`super::canonical`]).
    #[inline]
    pub fn find(&self, host: &[u8], method: &[u8], path: &[u8], params: &mut Params) -> Lookup {
        self.find_chosen(host, method, path, params, |_, _| Some(0))
    }

    /// The same; where a [`Claim`] chooses, `choose` is given its number and the path below the
    /// base path, and says in which set of routes to look: `None` for in none.
    #[inline]
    pub fn find_chosen(
        &self,
        host: &[u8],
        method: &[u8],
        path: &[u8],
        params: &mut Params,
        choose: impl FnOnce(u32, &[u8]) -> Option<u16>,
    ) -> Lookup {
        params.clear();
        let mut starts = [0; _];
        let Some(cut) = self.cut(path, &mut starts) else {
            return self.find_asterisk(host, path, params);
        };
        let Some((mut mount, from)) = self.mount(host, &cut) else { return Lookup::NotFound };
        params.owner = mount.owner;
        params.base_len = if from == 0 { 0 } else { cut.end(from - 1) };
        if mount.chooses {
            let chosen = choose(mount.owner, params.below_base(path));
            match chosen.and_then(|variant| self.variant(mount, variant)) {
                Some(variant) => mount = variant,
                None => return Lookup::NotFound,
            }
        }
        let method = self.method(method);
        let mut greedy: Option<(u32, usize)> = None;
        let full = self.trie.walk(mount.root, &cut, from, |end, leaves, depth| {
            if end == End::Greedy {
                // The walk meets literals first, so of equally long prefixes the first is it.
                if greedy.is_none_or(|(_, best)| depth > best)
                    && let Some(route) = leaves.pick(&self.trie, method)
                {
                    greedy = Some((route, depth));
                }
                return ControlFlow::Continue(());
            }
            match leaves.pick(&self.trie, method) {
                Some(route) => ControlFlow::Break(route),
                None => ControlFlow::Continue(()),
            }
        });
        let route = match (full, greedy) {
            (ControlFlow::Break(route), _) | (_, Some((route, _))) => route,
            _ => mount.default,
        };
        let Some(found) = self.routes.get(route as usize) else { return Lookup::NotFound };
        params.fill(route, &found.key, &cut, from);
        Lookup::Found(found.target)
    }

    /// `OPTIONS *` (RFC 9112 section 3.2.4) is of no path: the `$default` of the host's root takes
    /// it.
    fn find_asterisk(&self, host: &[u8], path: &[u8], params: &mut Params) -> Lookup {
        let mut starts = [0; _];
        let root = Cut::new(b"/", &mut starts).filter(|_| path == b"*");
        let mount = root.as_ref().and_then(|cut| self.mount(host, cut));
        let Some((mount, from)) = mount else { return Lookup::NotFound };
        let (Some(found), Some(cut)) = (self.routes.get(mount.default as usize), &root) else {
            return Lookup::NotFound;
        };
        params.fill(mount.default, &found.key, cut, from);
        Lookup::Found(found.target)
    }

    /// The methods that have a route for this path, sorted, each once; `ANY` if all have.
    /// Allocates: for the answer to a miss only.
    #[must_use]
    pub fn methods_on(&self, host: &[u8], path: &[u8]) -> Vec<&str> {
        let mut starts = [0; _];
        let Some(cut) = self.cut(path, &mut starts) else { return Vec::new() };
        let Some((mount, from)) = self.mount(host, &cut) else { return Vec::new() };
        let mut found = Vec::new();
        if mount.default != NONE {
            found.push("ANY");
        }
        // Nothing breaks this walk: it sees every end the path reaches.
        let ControlFlow::Continue(()) = self.trie.walk(mount.root, &cut, from, |_, leaves, _| {
            found.extend(leaves.iter(&self.trie).map(|(_, route)| self.method_of(route)));
            ControlFlow::<std::convert::Infallible>::Continue(())
        });
        found.sort_unstable();
        found.dedup();
        found
    }

    /// The route that the lookup which filled `params` found.
    #[must_use]
    pub fn route<'t>(&'t self, params: &Params) -> Option<&'t Route> {
        self.routes.get(params.route as usize)
    }

    /// Name and value of each path parameter, in the order of the key.
    pub fn params<'t>(&'t self, params: &'t Params) -> impl Iterator<Item = (&'t str, Span)> {
        let segments = match self.route(params).map(|route| &route.key) {
            Some(RouteKey::Path { path, .. }) => path.segments.as_slice(),
            _ => &[],
        };
        segments.iter().filter_map(Segment::name).zip(params.spans.iter().copied())
    }

    /// The value of one path parameter.
    #[must_use]
    pub fn param(&self, params: &Params, name: &str) -> Option<Span> {
        self.params(params).find(|(n, _)| *n == name).map(|(_, span)| span)
    }

    /// All routes, in an order that does not depend on how they were written.
    #[must_use]
    pub fn routes(&self) -> Vec<&Route> {
        let mut routes: Vec<_> = self.routes.iter().collect();
        routes.sort_by_cached_key(|r| {
            let (method, path) = match &r.key {
                RouteKey::Default => (String::new(), String::new()),
                RouteKey::Path { method, path } => (method.to_string(), path.to_string()),
            };
            (r.host.clone(), r.base_path.to_string(), path, method)
        });
        routes
    }

    /// How many routes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.routes.len()
    }

    /// Whether there is no route.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    fn cut<'p>(&self, path: &'p [u8], starts: &'p mut Starts) -> Option<Cut<'p>> {
        let mut cut = Cut::new(path, starts)?;
        cut.trailing_slash &= !self.options.ignore_trailing_slash;
        Some(cut)
    }

    /// The longest base path of the host that `cut` begins with, and how many segments it has.
    fn mount(&self, host: &[u8], cut: &Cut<'_>) -> Option<(&Mount, usize)> {
        let bases = self.bases.get(self.hosts.find(host)? as usize)?;
        let mut best = self.mount_at(bases.root).map(|mount| (mount, 0));
        if bases.deep {
            let mut at = bases.root;
            for depth in 0..cut.len {
                let Some(child) = self.trie.child(at, cut, depth) else { break };
                at = child;
                best = self.mount_at(at).map(|mount| (mount, depth + 1)).or(best);
            }
        }
        let (mount, depth) = best?;
        Some((&self.mounts[mount as usize], depth))
    }

    /// One of the sets of routes of a mount.
    fn variant<'t>(&'t self, mount: &'t Mount, variant: u16) -> Option<&'t Mount> {
        let Some(at) = usize::from(variant).checked_sub(1) else { return Some(mount) };
        let like = self.mounts.get(mount.like as usize)?;
        self.mounts.get(*like.variants.get(at)? as usize)
    }

    /// The mount at a node of a base path tree, kept as a leaf there.
    fn mount_at(&self, node: u32) -> Option<u32> {
        self.trie.leaves(node, End::Full).exactly(&self.trie, ANY_METHOD)
    }

    /// The number of a request's method, if any route names it.
    fn method(&self, token: &[u8]) -> Option<Method> {
        let at = self.methods.iter().position(|m| **m == *token)?;
        Some(Method::try_from(at + 1).expect("methods are bounded"))
    }

    fn method_of(&self, route: u32) -> &str {
        match &self.routes[route as usize].key {
            RouteKey::Default => "ANY",
            RouteKey::Path { method, .. } => method.as_str(),
        }
    }
}

// === impl Params ===

impl Params {
    /// None yet.
    #[must_use]
    pub fn new() -> Params {
        Params { route: NONE, owner: NONE, base_len: 0, spans: SmallVec::new() }
    }

    /// Whose base path the request is below, if somebody has claimed it; also after a miss.
    #[must_use]
    pub fn owner(&self) -> Option<u32> {
        (self.owner != NONE).then_some(self.owner)
    }

    /// The path below the base path; empty if the request named the base path itself, which an
    /// upstream is to see as `/`.
    #[must_use]
    pub fn below_base<'p>(&self, path: &'p [u8]) -> &'p [u8] {
        path.get(self.base_len as usize..).unwrap_or_default()
    }

    /// The values, in the order of the key.
    #[must_use]
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    fn clear(&mut self) {
        self.route = NONE;
        self.owner = NONE;
        self.base_len = 0;
        self.spans.clear();
    }

    /// `from` is how many segments the base path has.
    fn fill(&mut self, route: u32, key: &RouteKey, cut: &Cut<'_>, from: usize) {
        self.route = route;
        let RouteKey::Path { path, .. } = key else { return };
        for (i, segment) in path.segments.iter().enumerate() {
            let start = cut.start(from + i);
            let end = match segment {
                Segment::Static(_) => continue,
                Segment::Param(_) => cut.end(from + i),
                Segment::Greedy(_) => cut.path_len(),
            };
            self.spans.push(Span { start, len: end - start });
        }
    }
}

impl Default for Params {
    fn default() -> Params {
        Params::new()
    }
}

// === impl Span ===

impl Span {
    /// The bytes, of the very path that was looked up.
    #[must_use]
    pub fn of<'p>(&self, path: &'p [u8]) -> &'p [u8] {
        let start = self.start as usize;
        path.get(start..start + self.len as usize).unwrap_or_default()
    }
}
