//! The tree of path segments under all hosts and base paths, and the walk through it.
//!
//! Owns nodes, the links between them (one hash index for the whole table) and the leaves that name
//! routes. Knows no host and no parameter name: a route knows at which depth its parameters stand.
//!
//! Cost: a walk goes down the literal child first and comes back for the parameter child, so it
//! visits a node at most once; [`Trie::seal`] computes how many nodes the dearest path could visit,
//! and the table refuses to be built over a bound. Subtrees without a leaf at the path's length are
//! not entered.

use std::ops::ControlFlow;

use smallvec::SmallVec;

use super::index::{Index, hash};
use super::key::percent;
use crate::bounds::{ROUTE_LITERAL_BYTES_MAX, ROUTE_SEGMENTS_MAX};
use crate::http::lanes;

/// No node, no leaf, no route.
pub(super) const NONE: u32 = u32::MAX;

/// Where segment `i` begins; one less than where segment `i + 1` does, it ends.
pub(super) type Starts = [u32; ROUTE_SEGMENTS_MAX + 2];

/// A path cut at its slashes, without allocation.
#[derive(Debug)]
pub(super) struct Cut<'p> {
    path: &'p [u8],
    /// Lent by who cuts: too much to be moved about.
    starts: &'p Starts,
    /// Segments, an empty one at the end not counted; at most one more than any route has.
    pub(super) len: usize,
    /// Whether an empty segment stood at the end.
    pub(super) trailing_slash: bool,
    encoded: bool,
}

/// Nodes and leaves.
#[derive(Debug, Default)]
pub(super) struct Trie {
    nodes: Vec<Node>,
    leaves: Vec<Leaf>,
    literals: Vec<u8>,
    /// Literal children by (parent, literal): the number is the child's.
    index: Index,
}

/// Which of a node's three lists of leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The path ends here.
    Full,
    /// The path ends here with a slash.
    Slash,
    /// The path goes on, with whatever.
    Greedy,
}

/// A method as the table numbers it; `ANY_METHOD` matches all.
pub(super) type Method = u16;
pub(super) const ANY_METHOD: Method = 0;

/// A list of leaves, one for each method.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leaves(u32);

/// All that a step of a walk reads of a node, in one cache line.
#[derive(Debug)]
#[repr(align(64))]
struct Node {
    /// The node whose literal child this is, and where that literal stands in `literals`.
    parent: u32,
    literal_start: u32,
    literal_len: u32,
    /// The child for a parameter.
    param: u32,
    full: u32,
    slash: u32,
    greedy: u32,
    /// Bit n: a full or slash leaf n segments below; the last bit stands for all greater depths.
    depths: u64,
    /// Whether a greedy leaf is here or below.
    greedy_below: bool,
}

#[derive(Debug)]
struct Leaf {
    method: Method,
    route: u32,
    next: u32,
}

// === impl Cut ===

impl<'p> Cut<'p> {
    /// Cuts `path`; `None` if it does not begin with a slash, or is of 4 GiB.
    pub(super) fn new(path: &'p [u8], starts: &'p mut Starts) -> Option<Cut<'p>> {
        if path.first() != Some(&b'/') {
            return None;
        }
        let end = u32::try_from(path.len()).ok()?.checked_add(1)?;
        let (mut len, mut over_long) = (0, false);
        lanes::each(path, b'/', |slash| {
            over_long = len == ROUTE_SEGMENTS_MAX + 1;
            if !over_long {
                starts[len] = u32::try_from(slash + 1).expect("below `end`");
                len += 1;
            }
            !over_long
        });
        starts[len] = end;
        // Longer than any route: how much longer does not matter, nor where the last ends.
        let trailing_slash = !over_long && path.last() == Some(&b'/');
        len -= usize::from(trailing_slash);
        let encoded = memchr::memchr(b'%', path).is_some();
        Some(Cut { path, starts, len, trailing_slash, encoded })
    }

    /// Where segment `i` begins.
    pub(super) fn start(&self, i: usize) -> u32 {
        self.starts[i]
    }

    /// Where segment `i` ends. For the last segment this holds only if the path was not over-long.
    pub(super) fn end(&self, i: usize) -> u32 {
        self.starts[i + 1] - 1
    }

    /// Bytes of the whole path.
    pub(super) fn path_len(&self) -> u32 {
        u32::try_from(self.path.len()).expect("checked when it was cut")
    }

    fn segment(&self, i: usize) -> &'p [u8] {
        &self.path[self.start(i) as usize..self.end(i) as usize]
    }
}

// === impl Trie ===

impl Trie {
    /// A new root.
    pub(super) fn root(&mut self) -> u32 {
        let id = number(self.nodes.len());
        self.nodes.push(Node {
            parent: NONE,
            literal_start: 0,
            literal_len: 0,
            param: NONE,
            full: NONE,
            slash: NONE,
            greedy: NONE,
            depths: 0,
            greedy_below: false,
        });
        id
    }

    /// The child of `node` for a literal, made if it is not there.
    pub(super) fn literal(&mut self, node: u32, bytes: &[u8]) -> u32 {
        if let Some(child) = self.lookup(node, bytes) {
            return child;
        }
        let child = self.root();
        let made = &mut self.nodes[child as usize];
        made.parent = node;
        made.literal_start = number(self.literals.len());
        made.literal_len = number(bytes.len());
        self.literals.extend_from_slice(bytes);
        self.index.insert(hash(node, bytes), child);
        child
    }

    /// The child of `node` for a parameter, made if it is not there.
    pub(super) fn param(&mut self, node: u32) -> u32 {
        if self.nodes[node as usize].param == NONE {
            let child = self.root();
            self.nodes[node as usize].param = child;
        }
        self.nodes[node as usize].param
    }

    /// Adds a leaf.
    ///
    /// # Errors
    /// The route that already is there for this method.
    pub(super) fn leaf(
        &mut self,
        node: u32,
        end: End,
        method: Method,
        route: u32,
    ) -> Result<(), u32> {
        if let Some(taken) = self.leaves(node, end).exactly(self, method) {
            return Err(taken);
        }
        let id = number(self.leaves.len());
        let node = &mut self.nodes[node as usize];
        let head = match end {
            End::Full => &mut node.full,
            End::Slash => &mut node.slash,
            End::Greedy => &mut node.greedy,
        };
        self.leaves.push(Leaf { method, route, next: *head });
        *head = id;
        Ok(())
    }

    /// One of the three lists of a node.
    pub(super) fn leaves(&self, node: u32, end: End) -> Leaves {
        let node = &self.nodes[node as usize];
        Leaves(match end {
            End::Full => node.full,
            End::Slash => node.slash,
            End::Greedy => node.greedy,
        })
    }

    /// Computes, from the leaves up, what lies below each node, and gives for each node the number
    /// of nodes that the dearest path from it could visit: itself, the dearest of its literal
    /// children (a path takes one) and its parameter child.
    pub(super) fn seal(&mut self) -> Vec<u64> {
        let mut literal_visits = vec![0u64; self.nodes.len()];
        let mut visits = vec![0u64; self.nodes.len()];
        // Each node was made after its parent: going backwards meets all children before it.
        for id in (0..self.nodes.len()).rev() {
            let node = &self.nodes[id];
            let mut depths = node.depths;
            let mut greedy_below = node.greedy_below | (node.greedy != NONE);
            if node.full != NONE || node.slash != NONE {
                depths |= 1;
            }
            visits[id] = literal_visits[id].saturating_add(1);
            if node.param != NONE {
                let child = node.param as usize;
                depths |= deeper(self.nodes[child].depths);
                greedy_below |= self.nodes[child].greedy_below;
                visits[id] = visits[id].saturating_add(visits[child]);
            }
            let node = &mut self.nodes[id];
            (node.depths, node.greedy_below) = (depths, greedy_below);
            if node.parent != NONE {
                let up = node.parent as usize;
                literal_visits[up] = literal_visits[up].max(visits[id]);
                self.nodes[up].depths |= deeper(depths);
                self.nodes[up].greedy_below |= greedy_below;
            }
        }
        visits
    }

    /// The literal child of `node` for segment `i` of a path.
    ///
    /// Literals are compared with the DECODED segment: the upstream will decode it, so `/%61dmin`
    /// must meet the route of `/admin` and not a greedy one beside it.
    #[inline]
    pub(super) fn child(&self, node: u32, cut: &Cut<'_>, i: usize) -> Option<u32> {
        let segment = cut.segment(i);
        if !cut.encoded || memchr::memchr(b'%', segment).is_none() {
            return self.lookup(node, segment);
        }
        let mut decoded = [0u8; ROUTE_LITERAL_BYTES_MAX];
        let len = decode(segment, &mut decoded)?;
        self.lookup(node, &decoded[..len])
    }

    /// Shows `visit` every end that `cut`, from segment `from` on, reaches below `root`: most
    /// specific first, literal before parameter, segment by segment. A greedy end comes with its
    /// depth.
    #[inline]
    pub(super) fn walk<B>(
        &self,
        root: u32,
        cut: &Cut<'_>,
        from: usize,
        mut visit: impl FnMut(End, Leaves, usize) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        // Parameter children to come back for. The walk is depth first, so those that wait stand at
        // different depths: there are no more than segments.
        let mut waiting = SmallVec::<[(u32, usize); ROUTE_SEGMENTS_MAX]>::new();
        let (mut at, mut depth) = (root, from);
        loop {
            let node = &self.nodes[at as usize];
            let mut down = None;
            if depth == cut.len {
                // The root's own slash is not a trailing one: a mount answers with it and without.
                let slash = cut.trailing_slash && depth > from;
                let end = if slash { End::Slash } else { End::Full };
                visit(end, self.leaves(at, end), depth)?;
            } else {
                if node.greedy != NONE {
                    visit(End::Greedy, Leaves(node.greedy), depth)?;
                }
                let left = cut.len - depth - 1;
                // RFC 3986 allows empty segments; no parameter takes one.
                if node.param != NONE
                    && self.leads_on(node.param, left)
                    && cut.start(depth) < cut.end(depth)
                {
                    waiting.push((node.param, depth + 1));
                }
                down = self.child(at, cut, depth).filter(|&child| self.leads_on(child, left));
            }
            match down.map(|child| (child, depth + 1)).or_else(|| waiting.pop()) {
                Some(next) => (at, depth) = next,
                None => return ControlFlow::Continue(()),
            }
        }
    }

    /// Whether a path with `left` more segments can end at or below `node`.
    #[inline]
    fn leads_on(&self, node: u32, left: usize) -> bool {
        let node = &self.nodes[node as usize];
        node.depths >> left.min(63) & 1 == 1 || (node.greedy_below && left > 0)
    }

    #[inline]
    fn lookup(&self, node: u32, bytes: &[u8]) -> Option<u32> {
        let same = |id: u32| {
            let child = &self.nodes[id as usize];
            child.parent == node
                && child.literal_len as usize == bytes.len()
                && &self.literals[child.literal_start as usize..][..bytes.len()] == bytes
        };
        self.index.get(hash(node, bytes), same)
    }
}

// === impl Leaves ===

impl Leaves {
    /// The route for a method: its own before `ANY`.
    #[inline]
    pub(super) fn pick(self, trie: &Trie, method: Option<Method>) -> Option<u32> {
        let mut any = None;
        for leaf in self.iter(trie) {
            if Some(leaf.0) == method {
                return Some(leaf.1);
            }
            if leaf.0 == ANY_METHOD {
                any = Some(leaf.1);
            }
        }
        any
    }

    /// The route with this very method.
    pub(super) fn exactly(self, trie: &Trie, method: Method) -> Option<u32> {
        self.iter(trie).find(|leaf| leaf.0 == method).map(|leaf| leaf.1)
    }

    /// Method and route of each leaf.
    pub(super) fn iter(self, trie: &Trie) -> impl Iterator<Item = (Method, u32)> {
        let mut next = self.0;
        std::iter::from_fn(move || {
            let leaf = trie.leaves.get(next as usize)?;
            next = leaf.next;
            Some((leaf.method, leaf.route))
        })
    }
}

/// The depths of a child, seen from its parent.
fn deeper(depths: u64) -> u64 {
    depths << 1 | depths & (1 << 63)
}

/// Percent-decodes into `out`; `None` if it is malformed or longer than any literal.
fn decode(segment: &[u8], out: &mut [u8]) -> Option<usize> {
    let (mut from, mut to) = (0, 0);
    while let Some(&b) = segment.get(from) {
        let (byte, step) = if b == b'%' { (percent(&segment[from..])?, 3) } else { (b, 1) };
        *out.get_mut(to)? = byte;
        (from, to) = (from + step, to + 1);
    }
    Some(to)
}

fn number(len: usize) -> u32 {
    u32::try_from(len).ok().filter(|&n| n != NONE).expect("a table has fewer than 2^32 nodes")
}
