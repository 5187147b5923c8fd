//! The table against AWS's own example, against a naive matcher that sorts, and against its bounds.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;
use crate::bounds::{ROUTE_SEGMENTS_MAX, ROUTE_VISITS_MAX};

fn spec(host: &str, base: &str, key: &str, target: u32) -> Spec {
    Spec {
        host: HostPattern::parse(host).unwrap(),
        base_path: BasePath::parse(base).unwrap(),
        key: RouteKey::parse(key).unwrap(),
        target,
        variant: 0,
        place: Place(format!("ringway.toml:{}:1", target + 1)),
    }
}

fn table(keys: &[&str]) -> Table {
    build(keys, Options { default_beside_proxy: true, ..Options::default() }).unwrap()
}

fn build(keys: &[&str], options: Options) -> Result<Table, Vec<Conflict>> {
    let specs = keys.iter().zip(0..).map(|(key, i)| spec("*", "", key, i)).collect();
    Table::build(specs, options)
}

/// The key that `METHOD /path` is routed to, and its parameters.
fn routed(table: &Table, host: &str, request: &str) -> (String, Vec<(String, String)>) {
    let (method, path) = request.split_once(' ').unwrap();
    let mut params = Params::new();
    let found = table.find(host.as_bytes(), method.as_bytes(), path.as_bytes(), &mut params);
    let Some(route) = table.route(&params) else {
        assert_eq!(found, Lookup::NotFound);
        return ("-".into(), Vec::new());
    };
    assert_eq!(found, Lookup::Found(route.target));
    let text = |span: Span| String::from_utf8(span.of(path.as_bytes()).to_vec()).unwrap();
    let values = table.params(&params).map(|(n, s)| (n.to_owned(), text(s))).collect();
    (route.key.to_string(), values)
}

fn key_of(table: &Table, request: &str) -> String {
    routed(table, "any.example", request).0
}

#[test]
fn the_developer_guides_example_routes_as_it_says() {
    let t = table(&[
        "GET /pets/dog/1",
        "GET /pets/dog/{id}",
        "GET /pets/{proxy+}",
        "ANY /{proxy+}",
        "$default",
    ]);
    for (request, expected) in [
        ("GET /pets/dog/1", "GET /pets/dog/1"),
        ("GET /pets/dog/2", "GET /pets/dog/{id}"),
        ("GET /pets/cat/1", "GET /pets/{proxy+}"),
        ("GET /pets/dog/2/x", "GET /pets/{proxy+}"),
        ("POST /test/5", "ANY /{proxy+}"),
        ("POST /pets/dog/1", "ANY /{proxy+}"),
        ("GET /pets", "ANY /{proxy+}"),
        ("GET /", "$default"),
    ] {
        assert_eq!(key_of(&t, request), expected, "{request}");
    }
}

#[test]
fn a_literal_beats_a_parameter_and_both_are_tried() {
    let t = table(&[
        "GET /pets/{id}",
        "GET /pets/dog",
        "GET /pets/{id}/toys",
        "GET /pets/dog/x",
        "POST /pets/dog",
        "ANY /pets/cat",
        "GET /pets/cat",
        "GET /{kind}/dog/{part}",
    ]);
    for (request, expected) in [
        ("GET /pets/dog", "GET /pets/dog"),
        ("GET /pets/7", "GET /pets/{id}"),
        ("GET /pets/dog/toys", "GET /pets/{id}/toys"),
        ("GET /pets/dog/x", "GET /pets/dog/x"),
        ("GET /pets/dog/y", "GET /{kind}/dog/{part}"),
        ("GET /cars/dog/y", "GET /{kind}/dog/{part}"),
        ("POST /pets/dog", "POST /pets/dog"),
        ("DELETE /pets/cat", "ANY /pets/cat"),
        ("GET /pets/cat", "GET /pets/cat"),
        ("DELETE /pets/dog", "-"),
        ("HEAD /pets/dog", "-"),
        ("get /pets/dog", "-"),
        ("GET /Pets/dog", "-"),
        ("GET /pets/", "-"),
        ("GET /pets//toys", "-"),
        ("GET pets/dog", "-"),
        ("OPTIONS *", "-"),
        ("GET ", "-"),
    ] {
        assert_eq!(key_of(&t, request), expected, "{request}");
    }
}

#[test]
fn the_longest_greedy_prefix_wins_whatever_comes_first_on_the_way() {
    let t = table(&[
        "GET /a/b/{rest+}",
        "GET /{x}/{y}/{z}/{rest+}",
        "GET /a/{y}/{rest+}",
        "POST /a/{rest+}",
        "ANY /a/b/c/{rest+}",
    ]);
    for (request, expected) in [
        ("GET /a/b/q", "GET /a/b/{rest+}"),
        ("GET /a/x/q", "GET /a/{y}/{rest+}"),
        ("GET /a/b/d/e", "GET /{x}/{y}/{z}/{rest+}"),
        ("GET /a/b/c/e", "ANY /a/b/c/{rest+}"),
        ("POST /a/b/q", "POST /a/{rest+}"),
        ("POST /a/b/c/q", "ANY /a/b/c/{rest+}"),
        ("GET /a/b", "-"),
        ("GET /a/b/", "-"),
    ] {
        assert_eq!(key_of(&t, request), expected, "{request}");
    }
}

#[test]
fn parameters_are_spans_of_the_path_as_it_came() {
    let t = table(&["GET /u/{id}/f/{path+}", "GET /x/{a}/{b}"]);
    let pairs = |v: &[(&str, &str)]| -> Vec<(String, String)> {
        v.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    };
    for (request, expected) in [
        ("GET /u/7/f/a", pairs(&[("id", "7"), ("path", "a")])),
        ("GET /u/a%20b/f/a//b/", pairs(&[("id", "a%20b"), ("path", "a//b/")])),
        ("GET /u/x/f//", pairs(&[("id", "x"), ("path", "/")])),
        ("GET /x/1/2", pairs(&[("a", "1"), ("b", "2")])),
        ("GET /x/1/2/", pairs(&[])),
    ] {
        assert_eq!(routed(&t, "h", request).1, expected, "{request}");
    }
    let mut params = Params::new();
    t.find(b"h", b"GET", b"/x/1/2", &mut params);
    assert_eq!(t.param(&params, "b").map(|s| s.of(b"/x/1/2").to_vec()), Some(b"2".to_vec()));
    assert_eq!(t.param(&params, "c"), None);
}

// Class "authorise on one path, forward another": the upstream decodes what it gets, so a literal
// must be met by every encoding of it, also by those RFC 3986 does not call equivalent (`%3A` for
// `:`).
#[test]
fn a_literal_is_met_by_every_encoding_of_it() {
    let keys = ["ANY /admin", "ANY /m/gpt:run", "ANY /caf%C3%A9", "ANY /a%20b", "ANY /{proxy+}"];
    let t = table(&keys);
    for (path, expected) in [
        ("/admin", "ANY /admin"),
        ("/%61dmin", "ANY /admin"),
        ("/%61%64%6d%69%6E", "ANY /admin"),
        ("/m/gpt%3Arun", "ANY /m/gpt:run"),
        ("/m/gpt%3arun", "ANY /m/gpt:run"),
        ("/caf%c3%a9", "ANY /caf%C3%A9"),
        ("/café", "ANY /caf%C3%A9"),
        ("/a%20b", "ANY /a%20b"),
        ("/admin%2Fx", "ANY /{proxy+}"),
        ("/admin%", "ANY /{proxy+}"),
        ("/%2561dmin", "ANY /{proxy+}"),
    ] {
        assert_eq!(key_of(&t, &format!("GET {path}")), expected, "{path}");
    }
    let long = format!("GET /{}", "%61".repeat(300));
    assert_eq!(key_of(&t, &long), "ANY /{proxy+}");
}

// The same class, with the path made canonical first, as the data path does: every way to spell the
// guarded path is refused, or meets its route; none slips through the open one beside it.
#[test]
fn no_spelling_of_a_guarded_path_slips_past_its_route() {
    let t = table(&["ANY /v1/admin", "ANY /v1/admin/{rest+}", "ANY /{proxy+}"]);
    let mut guarded = 0;
    for before in ["", "/", "/.", "/x/..", "/x/%2e%2E", "/x/.%2e/", "/%2e"] {
        for middle in ["/", "//", "/./", "/%2e/", "/x/../", "/x/y/../%2e./"] {
            for name in ["admin", "%61dmin", "%61%64%6D%69%6e"] {
                for after in ["", "/users", "/./users", "//users", "/x/..%2f/users", "/%75sers"] {
                    let path = format!("{before}/v1{middle}{name}{after}");
                    let mut buffer = Vec::new();
                    let policy = PathPolicy::Normalize;
                    let Ok(path) = canonical(path.as_bytes(), policy, &mut buffer) else {
                        continue;
                    };
                    let path = String::from_utf8(path.to_vec()).unwrap();
                    let key = key_of(&t, &format!("GET {path}"));
                    assert!(key.starts_with("ANY /v1/admin"), "{path}: {key}");
                    // What is forwarded is what was routed, and an upstream finds nothing to
                    // resolve.
                    assert!(path == "/v1/admin" || path == "/v1/admin/users", "{path}");
                    guarded += 1;
                }
            }
        }
    }
    assert_eq!(guarded, 7 * 6 * 3 * 5);
}

#[test]
fn a_trailing_slash_is_a_path_of_its_own_unless_ignored() {
    let keys = ["GET /pets", "GET /pets/{id}", "GET /", "ANY /f/{rest+}"];
    let strict = table(&keys);
    assert_eq!(key_of(&strict, "GET /pets/"), "-");
    assert_eq!(key_of(&strict, "GET /pets/7/"), "-");
    assert_eq!(key_of(&strict, "GET /"), "GET /");
    let both = table(&["GET /pets", "GET /pets/"]);
    assert_eq!(key_of(&both, "GET /pets"), "GET /pets");
    assert_eq!(key_of(&both, "GET /pets/"), "GET /pets/");

    let options = Options { ignore_trailing_slash: true, ..Options::default() };
    let lax = build(&keys, options).unwrap();
    assert_eq!(key_of(&lax, "GET /pets/"), "GET /pets");
    assert_eq!(key_of(&lax, "GET /pets/7/"), "GET /pets/{id}");
    assert_eq!(key_of(&lax, "GET /pets//"), "-");
    assert_eq!(key_of(&lax, "GET /f/"), "-");
    assert_eq!(build(&["GET /pets", "GET /pets/"], options).unwrap_err().len(), 1);
}

#[test]
fn hosts_the_most_specific_wins_and_keeps_the_request() {
    let t = Table::build(
        vec![
            spec("api.example.com", "", "GET /a", 1),
            spec("*.example.com", "", "GET /b", 2),
            spec("*.eu.example.com", "", "GET /c", 3),
            spec("*", "", "GET /d", 4),
            spec("[::1]", "", "GET /e", 5),
            spec("127.0.0.1", "", "GET /f", 6),
        ],
        Options::default(),
    )
    .unwrap();
    for (host, path, expected) in [
        ("api.example.com", "/a", "GET /a"),
        ("API.Example.COM.", "/a", "GET /a"),
        ("api.example.com", "/b", "-"),
        ("x.example.com", "/b", "GET /b"),
        ("x.y.example.com", "/b", "GET /b"),
        ("x.eu.example.com", "/c", "GET /c"),
        ("x.eu.example.com", "/b", "-"),
        ("eu.example.com", "/b", "GET /b"),
        ("example.com", "/d", "GET /d"),
        (".example.com", "/d", "GET /d"),
        ("xexample.com", "/d", "GET /d"),
        ("", "/d", "GET /d"),
        ("[::1]", "/e", "GET /e"),
        ("127.0.0.1", "/f", "GET /f"),
    ] {
        assert_eq!(routed(&t, host, &format!("GET {path}")).0, expected, "{host} {path}");
    }
    let long = format!("{}.example.com", "x".repeat(300));
    assert_eq!(routed(&t, &long, "GET /d").0, "GET /d");
    let none = Table::build(vec![spec("a.b", "", "$default", 0)], Options::default()).unwrap();
    assert_eq!(routed(&none, "c.b", "GET /").0, "-");
}

#[test]
fn the_longest_base_path_owns_the_request() {
    let t = Table::build(
        vec![
            spec("h", "", "GET /v1/x", 1),
            spec("h", "", "$default", 2),
            spec("h", "/v1", "GET /", 3),
            spec("h", "/v1", "GET /pets/{id}", 4),
            spec("h", "/v1/beta", "$default", 5),
            spec("h", "/shop/eu", "GET /y", 6),
        ],
        Options::default(),
    )
    .unwrap();
    for (path, target, below) in [
        ("/v1", Some(3), ""),
        ("/v1/", Some(3), "/"),
        ("/%761/pets/7", Some(4), "/pets/7"),
        ("/v1/pets/7", Some(4), "/pets/7"),
        ("/v1/x", None, "/v1/x"),
        ("/v1/beta", Some(5), ""),
        ("/v1/beta/any/thing", Some(5), "/any/thing"),
        ("/v1x", Some(2), "/v1x"),
        ("/v1/betax", None, ""),
        ("/shop/eu/y", Some(6), "/y"),
        ("/shop/y", Some(2), "/shop/y"),
        ("/", Some(2), "/"),
    ] {
        let mut params = Params::new();
        let found = t.find(b"h", b"GET", path.as_bytes(), &mut params);
        assert_eq!(found, target.map_or(Lookup::NotFound, Lookup::Found), "{path}");
        if target.is_some() {
            assert_eq!(params.below_base(path.as_bytes()), below.as_bytes(), "{path}");
        }
    }
}

#[test]
fn conflicts_show_both_places() {
    for (keys, said) in [
        (["GET /a/{x}", "GET /a/{y}"], Some("`* GET /a/{x}` at ringway.toml:1:1")),
        (["GET /a", "GET /a"], Some("ringway.toml:2:1: route `* GET /a` takes the same")),
        (["ANY /a/{x+}", "ANY /a/{y+}"], Some("`* ANY /a/{x+}` at ringway.toml:1:1")),
        (["$default", "$default"], Some("`* $default` at ringway.toml:1:1")),
        (["GET /%61", "GET /a"], Some("takes the same requests")),
        (["$default", "ANY /{proxy+}"], Some("ringway.toml:1:1: `$default` of * takes only what")),
        (["ANY /{proxy+}", "$default"], Some("`ANY /{proxy+}` at ringway.toml:1:1 leaves")),
        (["GET /{proxy+}", "$default"], None),
        (["GET /a", "ANY /a"], None),
        (["GET /a/{x}", "GET /a/b"], None),
        (["GET /a/{x}", "GET /a/{x+}"], None),
    ] {
        let text = build(&keys, Options::default())
            .err()
            .map(|c| c.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
        match (said, text) {
            (None, None) => {}
            (Some(said), Some(text)) => assert!(text.contains(said), "{keys:?}: {text}"),
            (said, text) => panic!("{keys:?}: {said:?} {text:?}"),
        }
    }
    let other =
        vec![spec("a", "", "GET /", 0), spec("b", "", "GET /", 1), spec("a", "/x", "GET /", 2)];
    assert!(Table::build(other, Options::default()).is_ok());
    // All of them are told, not the first only.
    assert_eq!(
        build(&["GET /a", "GET /a", "GET /b", "GET /b"], Options::default()).unwrap_err().len(),
        2
    );
}

#[test]
fn methods_on_a_path_for_a_405() {
    let t = table(&["GET /a/{x}", "PUT /a/b", "POST /{p+}", "GET /c", "GET /a/{x}/d"]);
    assert_eq!(t.methods_on(b"h", b"/a/b"), ["GET", "POST", "PUT"]);
    assert_eq!(t.methods_on(b"h", b"/a/q"), ["GET", "POST"]);
    assert_eq!(t.methods_on(b"h", b"/c"), ["GET", "POST"]);
    assert_eq!(t.methods_on(b"h", b"/"), Vec::<&str>::new());
    assert_eq!(table(&["$default"]).methods_on(b"h", b"/"), ["ANY"]);
}

#[test]
fn routes_are_listed_in_one_order() {
    let specs = || {
        vec![
            spec("*", "", "POST /b", 0),
            spec("a.example", "/v2", "GET /b", 1),
            spec("a.example", "/v1", "GET /b", 2),
            spec("*", "", "GET /b", 3),
            spec("*", "", "$default", 4),
            spec("*.example", "", "GET /{x}", 5),
        ]
    };
    let order = |specs| {
        let t = Table::build(specs, Options::default()).unwrap();
        t.routes().iter().map(|r| r.target).collect::<Vec<_>>()
    };
    let backwards = specs().into_iter().rev().collect();
    assert_eq!(order(specs()), [2, 1, 5, 4, 3, 0]);
    assert_eq!(order(backwards), [2, 1, 5, 4, 3, 0]);
}

#[test]
fn a_path_longer_than_any_route_still_meets_the_greedy_ones() {
    let deepest = format!("GET {}", "/s".repeat(ROUTE_SEGMENTS_MAX));
    let proxy = format!("GET {}/{{p+}}", "/s".repeat(ROUTE_SEGMENTS_MAX - 1));
    let params = (0..ROUTE_SEGMENTS_MAX).fold("PUT ".to_owned(), |mut s, i| {
        write!(s, "/{{p{i}}}").unwrap();
        s
    });
    let t = table(&[&deepest, &proxy, &params, "GET /{all+}"]);
    assert_eq!(key_of(&t, &deepest), deepest);
    assert_eq!(key_of(&t, &format!("{deepest}/s")), proxy);
    assert_eq!(key_of(&t, &format!("{deepest}/")), proxy);
    assert_eq!(key_of(&t, &format!("{deepest}/s/")), proxy);
    assert_eq!(key_of(&t, &format!("{deepest}{}", "/s".repeat(500))), proxy);
    assert_eq!(key_of(&t, &format!("{deepest}{}", "/".repeat(500))), proxy);
    assert_eq!(key_of(&t, &format!("GET {}", "/t".repeat(500))), "GET /{all+}");
    let (key, values) = routed(&t, "h", &format!("PUT {}", "/v".repeat(ROUTE_SEGMENTS_MAX)));
    assert_eq!((key, values.len()), (params.clone(), ROUTE_SEGMENTS_MAX));
    assert_eq!(key_of(&t, &format!("PUT {}", "/v".repeat(ROUTE_SEGMENTS_MAX + 1))), "-");

    let deep = spec("*", "/base", &deepest, 0);
    let refused = Table::build(vec![deep], Options::default()).unwrap_err();
    assert!(matches!(refused[0], Conflict::TooDeep { .. }));
}

/// All 2^depth keys of literals and parameters: the one shape that makes a tree walk dear.
fn braid(depth: usize) -> Vec<Spec> {
    (0..1u32 << depth)
        .map(|bits| {
            let key = (0..depth).fold("GET ".to_owned(), |mut s, i| {
                if bits >> i & 1 == 0 {
                    s.push_str("/a")
                } else {
                    write!(s, "/{{p{i}}}").unwrap()
                }
                s
            });
            spec("*", "", &format!("{key}/end"), bits)
        })
        .collect()
}

#[test]
fn a_table_that_could_make_a_path_dear_is_refused_when_built() {
    let fits = Table::build(braid(9), Options::default()).unwrap();
    let path = format!("GET {}/{}", "/a".repeat(9), "miss");
    assert_eq!(key_of(&fits, &path), "-");
    let refused = Table::build(braid(12), Options::default()).unwrap_err();
    let Conflict::TooManyAlternatives { visits, .. } = &refused[0] else { panic!("{refused:?}") };
    assert!(*visits > ROUTE_VISITS_MAX);
}

#[test]
fn a_method_too_many_is_refused() {
    let keys: Vec<_> = (0..65).map(|i| format!("M{i} /a")).collect();
    let keys: Vec<_> = keys.iter().map(String::as_str).collect();
    assert!(build(&keys[..64], Options::default()).is_ok());
    let refused = build(&keys, Options::default()).unwrap_err();
    assert!(matches!(refused[..], [Conflict::TooManyMethods { .. }]));
}

#[test]
fn a_hundred_thousand_routes() {
    let specs: Vec<_> = (0..100_000u32)
        .map(|i| {
            let host = format!("api{}.example.com", i % 10);
            let key = format!("GET /s{}/items{}/{{id}}/part{}", i / 10 % 100, i / 1000, i % 7);
            spec(&host, "/v1", &key, i)
        })
        .collect();
    let t = Table::build(specs, Options::default()).unwrap();
    assert_eq!(t.len(), 100_000);
    let mut params = Params::new();
    for i in (0..100_000u32).step_by(97) {
        let host = format!("api{}.example.com", i % 10);
        let path = format!("/v1/s{}/items{}/x7/part{}", i / 10 % 100, i / 1000, i % 7);
        let found = t.find(host.as_bytes(), b"GET", path.as_bytes(), &mut params);
        assert_eq!(found, Lookup::Found(i));
        assert_eq!(t.param(&params, "id").unwrap().of(path.as_bytes()), b"x7");
    }
}

// === the naive matcher: every rule of AWS's list as a sort key ===

/// Matches by trying every route, and takes the greatest by AWS's order.
fn naive(keys: &[RouteKey], method: &str, path: &str) -> Option<usize> {
    let mut segments: Vec<&str> = path[1..].split('/').collect();
    let trailing = segments.last() == Some(&"") && path.len() > 1;
    if segments.last() == Some(&"") {
        segments.pop();
    }
    let fits = |segment: &Segment, text: &str| match segment {
        Segment::Static(bytes) => bytes == text.as_bytes(),
        Segment::Param(_) | Segment::Greedy(_) => !text.is_empty(),
    };
    let score = |key: &RouteKey| {
        let RouteKey::Path { method: wanted, path: pattern } = key else {
            return Some((0, 0, Vec::new(), false));
        };
        let exact = match wanted {
            MethodKey::Any => false,
            MethodKey::Exact(m) if m == method => true,
            MethodKey::Exact(_) => return None,
        };
        let literals: Vec<bool> =
            pattern.segments.iter().map(|s| matches!(s, Segment::Static(_))).collect();
        if let Some((Segment::Greedy(_), prefix)) = pattern.segments.split_last() {
            let all = prefix.iter().zip(&segments).all(|(p, s)| fits(p, s));
            let more = segments.len() > prefix.len();
            return (all && more).then_some((1, prefix.len(), literals, exact));
        }
        let all = pattern.segments.iter().zip(&segments).all(|(p, s)| fits(p, s));
        let same = pattern.segments.len() == segments.len() && pattern.trailing_slash == trailing;
        (all && same).then_some((2, 0, literals, exact))
    };
    let scored = keys.iter().enumerate().filter_map(|(i, k)| score(k).map(|s| (s, i)));
    scored.max().map(|(_, i)| i)
}

fn any_key() -> impl Strategy<Value = String> {
    let segment = prop_oneof![4 => "[abc]", 2 => Just("{}".to_owned())];
    let end = prop_oneof![3 => Just(""), 1 => Just("/"), 2 => Just("/{rest+}")];
    let path = (proptest::collection::vec(segment, 0..5), end).prop_map(|(segments, end)| {
        let mut text = String::new();
        for (i, s) in segments.iter().enumerate() {
            if s == "{}" {
                write!(text, "/{{p{i}}}").unwrap()
            } else {
                write!(text, "/{s}").unwrap()
            }
        }
        text.push_str(end);
        if text.is_empty() { "/".to_owned() } else { text }
    });
    let keyed = ("GET|POST|ANY", path).prop_map(|(m, p)| format!("{m} {p}"));
    prop_oneof![15 => keyed, 1 => Just("$default".to_owned())]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_order_answers_as_the_naive_matcher(
        mut keys in proptest::collection::vec(any_key(), 1..30),
        turn in any::<proptest::sample::Index>(),
        requests in proptest::collection::vec(("GET|POST|PUT", "(/[abcd]?){1,6}"), 1..40),
    ) {
        keys.sort();
        keys.dedup();
        let turn = turn.index(keys.len());
        keys.rotate_left(turn);
        let parsed: Vec<_> = keys.iter().map(|k| RouteKey::parse(k).unwrap()).collect();
        let forwards = table(&keys.iter().map(String::as_str).collect::<Vec<_>>());
        let backwards = table(&keys.iter().rev().map(String::as_str).collect::<Vec<_>>());
        for (method, path) in requests {
            let expected = naive(&parsed, &method, &path).map_or("-", |i| &keys[i]);
            let request = format!("{method} {path}");
            prop_assert_eq!(key_of(&forwards, &request), expected, "{}", request);
            prop_assert_eq!(key_of(&backwards, &request), expected, "{}", request);
        }
    }

    #[test]
    fn no_path_or_host_panics(
        host in proptest::collection::vec(any::<u8>(), 0..300),
        path in proptest::collection::vec(prop_oneof![Just(b'/'), Just(b'%'), any::<u8>()], 0..400),
    ) {
        let t = table(&["GET /a/{x}/b", "GET /{p+}", "ANY /{x}/{y}"]);
        let mut params = Params::new();
        let found = t.find(&host, b"GET", &path, &mut params);
        prop_assert_eq!(found == Lookup::NotFound, params.spans().is_empty());
        for (_, span) in t.params(&params) {
            prop_assert!(!span.of(&path).is_empty());
        }
    }

    #[test]
    fn a_key_prints_as_what_it_parses_to(key in any_key()) {
        prop_assert_eq!(RouteKey::parse(&key).unwrap().to_string(), key);
    }

    #[test]
    fn no_key_or_host_text_panics(
        text in "\\PC{0,40}",
        rest in "(GET |/|[{]|[}]|[+]|%|[a-z]){0,20}",
    ) {
        let _ = RouteKey::parse(&text);
        let _ = RouteKey::parse(&rest).map_err(|e| e.to_string());
        let _ = HostPattern::parse(&text).map_err(|e| e.to_string());
        let _ = BasePath::parse(&rest);
    }
}

// === grammar ===

#[test]
fn wrong_keys_say_where() {
    for (text, at, fault) in [
        ("", 0, KeyFault::Empty),
        ("$connect", 0, KeyFault::UnknownSpecial),
        ("/pets", 0, KeyFault::NoMethod),
        (" /pets", 0, KeyFault::NoMethod),
        ("get /pets", 0, KeyFault::BadMethod),
        ("GE(T /pets", 2, KeyFault::BadMethod),
        ("GET", 3, KeyFault::NoPath),
        ("GET pets", 4, KeyFault::NoPath),
        ("GET  /pets", 4, KeyFault::NoPath),
        ("GET //pets", 5, KeyFault::EmptySegment),
        ("GET /a//", 7, KeyFault::EmptySegment),
        ("GET /a/../b", 7, KeyFault::DotSegment),
        ("GET /a/%2e", 7, KeyFault::DotSegment),
        ("GET /a?b=1", 6, KeyFault::BadByte('?')),
        ("GET /a b", 6, KeyFault::BadByte(' ')),
        ("GET /a%2", 6, KeyFault::BadPercent),
        ("GET /a%2Fb", 6, KeyFault::BadPercent),
        ("GET /a%00", 6, KeyFault::BadPercent),
        ("GET /a{id}", 6, KeyFault::BadBrace),
        ("GET /{id}.json", 13, KeyFault::BadBrace),
        ("GET /{id", 7, KeyFault::BadBrace),
        ("GET /{a}{b}", 7, KeyFault::BadBrace),
        ("GET /{}", 6, KeyFault::EmptyName),
        ("GET /{+}", 6, KeyFault::EmptyName),
        ("GET /{a b}", 7, KeyFault::BadName(' ')),
        ("GET /{a+}/b", 10, KeyFault::GreedyNotLast),
        ("GET /{a+}/", 9, KeyFault::GreedyNotLast),
        ("GET /{a}/x/{a}", 12, KeyFault::NameTwice("a".into())),
        ("GET /{a}/{a+}", 10, KeyFault::NameTwice("a".into())),
    ] {
        assert_eq!(RouteKey::parse(text), Err(KeyError { at, fault }), "{text}");
    }
    let said = RouteKey::parse("GET /a/{b c}").unwrap_err().to_string();
    assert_eq!(
        said,
        "at byte 9: ' ' cannot stand in a parameter's name; names are made of A-Z a-z 0-9 _ . -"
    );
    assert!(RouteKey::parse(&format!("GET {}", "/a".repeat(65))).is_err());
    assert!(RouteKey::parse(&format!("GET /{}", "a".repeat(256))).is_err());
    assert!(RouteKey::parse("PATCH /a-b/~c/$x/{A.b_c-1}/{rest+}").is_ok());
}

#[test]
fn base_paths_are_literal() {
    assert_eq!(BasePath::parse("").unwrap(), BasePath::parse("/").unwrap());
    assert_eq!(BasePath::parse("/v1/eu").unwrap().to_string(), "/v1/eu");
    for (text, at, fault) in [
        ("v1", 0, KeyFault::NoPath),
        ("/v1/", 3, KeyFault::BaseSlash),
        ("/{v}", 1, KeyFault::ParamInBase),
        ("/a/{v+}", 3, KeyFault::ParamInBase),
        ("/a//b", 3, KeyFault::EmptySegment),
    ] {
        assert_eq!(BasePath::parse(text), Err(KeyError { at, fault }), "{text}");
    }
}

#[test]
fn host_patterns() {
    let exact = |s: &str| Ok(HostPattern::Exact(s.to_owned()));
    for (text, expected) in [
        ("*", Ok(HostPattern::Any)),
        ("Example.COM.", exact("example.com")),
        ("*.Example.com", Ok(HostPattern::Below("example.com".into()))),
        ("my_host", exact("my_host")),
        ("[::1]", exact("[::1]")),
        ("", Err(HostError::Empty)),
        ("*.", Err(HostError::Empty)),
        ("a.*.com", Err(HostError::Star)),
        ("*a.com", Err(HostError::Star)),
        ("a..b", Err(HostError::Label(String::new()))),
        ("-a.b", Err(HostError::Label("-a".into()))),
        ("a:80", Err(HostError::Port)),
        ("[::1]:80", Err(HostError::Port)),
        ("café.fr", Err(HostError::Byte('é'))),
        ("a/b", Err(HostError::Byte('/'))),
    ] {
        assert_eq!(HostPattern::parse(text), expected, "{text}");
    }
    assert_eq!(HostPattern::parse(&"a.".repeat(150)), Err(HostError::TooLong));
}
