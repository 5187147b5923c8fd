//! Reads `[authorizers.NAME]`, and what APIs and routes say about who may call them.

use std::collections::{BTreeMap, BTreeSet};

use crate::auth::Algorithm;
use crate::auth::basic::Hash;
use crate::config::diagnostic::Diagnostic;
use crate::config::section::Section;
use crate::config::template::is_token;
use crate::config::types::{
    Access, Authorizer, Basic, Bearer, Config, Jwks, JwksSource, Jwt, Listener, Mtls, Name, Proof,
    Source,
};
use crate::config::units::{self, Bad};
use crate::http::Url;

use super::{Known, fields};

/// Which keys belong to one type only.
const OF_JWT: &str = "issuer audiences algorithms leeway identity_source bearer jwks";
const OF_BASIC: &str = "users users_file";
const OF_MTLS: &str = "subjects names";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Type {
    Jwt,
    Basic,
    Mtls,
}

/// `None`: it cannot be made, and why has been reported.
pub(super) fn authorizer(name: &Name, section: &Section<'_>) -> Option<Authorizer> {
    if &**name == "none" {
        section.error("`none` stands for no authorizer", "give it another name");
    }
    let types = [("jwt", Type::Jwt), ("basic", Type::Basic), ("mtls", Type::Mtls)];
    let chosen = section.choice_if("type", &types)?;
    for (of, keys) in [(Type::Jwt, OF_JWT), (Type::Basic, OF_BASIC), (Type::Mtls, OF_MTLS)] {
        for key in keys.split(' ').filter(|key| of != chosen && section.has(key)) {
            let word = types.iter().find(|(_, other)| *other == of).map_or("", |(word, _)| word);
            let message = format!("belongs to authorizers of type \"{word}\"");
            section.error_at(key, &message, "remove it, or write that type");
        }
    }
    let proof = match chosen {
        Type::Jwt => jwt(section).map(|jwt| Proof::Jwt(Box::new(jwt))),
        Type::Basic => Some(Proof::Basic(basic(section))),
        Type::Mtls => Some(Proof::Mtls(mtls(section))),
    };
    let realm = section.text("realm").filter(|spot| fields::check_value(spot, spot.text()));
    let forward = match section.has("forward_credentials") {
        true => section.flag("forward_credentials"),
        // What proves a user everywhere else too is not for the upstream to see.
        false => chosen != Type::Basic,
    };
    let authorizer = Authorizer {
        place: section.place.clone(),
        realm: realm.map_or_else(|| name.to_string(), |spot| spot.text().to_owned()),
        claims_to_headers: claims_to_headers(section),
        log_claims: texts(section, "log_claims").unwrap_or_default(),
        forward_credentials: forward,
        proof: proof?,
    };
    if let Proof::Jwt(jwt) = &authorizer.proof
        && !forward
        && !matches!(jwt.identity_source, Source::Header(_))
    {
        let message = "only a field can be held back, not a cookie or a query parameter";
        section.error_at("forward_credentials", message, "remove it");
    }
    Some(authorizer)
}

/// What is said in the section of an API or of a route.
pub(super) fn access(section: &Section<'_>, known: &Known<'_>) -> Access {
    if section.has("authorizer") && section.has("authorizers") {
        let remedy = "write one of the two";
        section.error_at("authorizers", "given together with `authorizer`", remedy);
    }
    let one = section.text("authorizer").map(|spot| match spot.text() {
        "none" => Vec::new(),
        _ => known.authorizer(&spot).into_iter().collect(),
    });
    let many = section.texts("authorizers").map(|spots| {
        if spots.is_empty() {
            let remedy = "name at least one, or write authorizer = \"none\"";
            section.error_at("authorizers", "is empty", remedy);
        }
        spots.iter().filter_map(|spot| known.authorizer(spot)).collect()
    });
    let networks = |key: &str| {
        let spots = section.texts(key)?;
        Some(spots.iter().filter_map(|spot| spot.read(units::network)).collect())
    };
    if section.texts("allow_from").is_some_and(|list| list.is_empty()) {
        let remedy = "name at least one network, or leave the key out for all";
        section.error_at("allow_from", "is empty, so nobody could call", remedy);
    }
    let scopes = section
        .texts("scopes")
        .map(|spots| spots.iter().filter_map(|spot| spot.read(scope)).collect::<Vec<String>>());
    Access {
        authorizers: one.or(many),
        scopes,
        mfa: section.has("mfa").then(|| section.flag("mfa")),
        allow_from: networks("allow_from"),
        deny_from: networks("deny_from"),
    }
}

/// What is asked of a token where no token is asked for would never be looked at.
pub(super) fn check_access(section: &Section<'_>, effective: &Access, own: &Access) {
    if effective.authorizers.as_ref().is_some_and(|names| !names.is_empty()) {
        return;
    }
    for (key, is_there) in [("scopes", own.scopes.is_some()), ("mfa", own.mfa == Some(true))] {
        if is_there {
            let message = "asks for a token, but no authorizer looks at one here";
            section.error_at(key, message, "name an authorizer, or remove it");
        }
    }
}

/// What the configuration as a whole does not ask of its authorizers, or cannot.
pub(super) fn whole(root: &Section<'_>, asked: &BTreeSet<String>, config: &Config) {
    let warn = |authorizer: &Authorizer, name: &Name, message: &str, remedy: &str| {
        root.report.warn(Diagnostic {
            place: authorizer.place.clone(),
            key: format!("authorizers.{name}"),
            value: None,
            message: message.to_owned(),
            remedy: remedy.to_owned(),
        });
    };
    let asks = |listener: &Listener| listener.tls.as_ref().is_some_and(|tls| tls.client.is_some());
    let none_asks = !config.listeners.values().any(asks);
    for (name, authorizer) in &config.authorizers {
        if !asked.contains(&**name) {
            let remedy = "name it in `authorizer` of an API or a route, or remove it";
            warn(authorizer, name, "protects nothing: nobody names it", remedy);
        }
        if matches!(authorizer.proof, Proof::Mtls(_)) && none_asks {
            let message = "lets nobody in: no listener asks for client certificates";
            warn(authorizer, name, message, "set `client_ca` in the `tls` of a listener");
        }
    }
}

fn jwt(section: &Section<'_>) -> Option<Jwt> {
    let required = |key: &str, example: &str| {
        if !section.has(key) {
            section.error_at(key, "missing", &format!("write `{key} = {example}`"));
        }
    };
    required("issuer", "\"https://id.example.com/\"");
    required("audiences", "[\"orders\"]");
    let words: Vec<(&str, Algorithm)> =
        Algorithm::ALL.iter().map(|algorithm| (algorithm.name(), *algorithm)).collect();
    let algorithms = section.words("algorithms", &words);
    if algorithms.is_empty() && section.has("algorithms") {
        section.error_at("algorithms", "is empty, so no token could pass", "name at least one");
    }
    let audiences = texts(section, "audiences").unwrap_or_default();
    if audiences.is_empty() && section.has("audiences") {
        let remedy = "name at least one, or [\"*\"] for tokens meant for anybody";
        section.error_at("audiences", "is empty, so no token could pass", remedy);
    }
    let (source, spot) = section.text_or_default("identity_source");
    let identity_source = match spot {
        Some(spot) => spot.read(identity_source),
        None => identity_source(&source).ok(),
    };
    let bearer =
        section.choice("bearer", &[("required", Bearer::Required), ("optional", Bearer::Optional)]);
    let leeway = section.duration("leeway");
    let issuer = section.text("issuer");
    let jwks = jwks(&section.sub("jwks"), issuer.as_ref().map(|spot| spot.text()));
    Some(Jwt {
        issuer: issuer?.text().to_owned(),
        audiences,
        algorithms,
        leeway,
        identity_source: identity_source?,
        bearer,
        jwks: jwks?,
    })
}

fn jwks(section: &Section<'_>, issuer: Option<&str>) -> Option<Jwks> {
    let file = section.text("file").and_then(|spot| spot.file());
    let url = section.text("url").and_then(|spot| {
        let url = spot.read(url)?;
        if !url.https && !url.is_loopback() {
            let message = "the keys come in clear: whoever is on the way can put in their own";
            section.warn_at("url", message, "write an https:// URL");
        }
        Some(url)
    });
    let source = match (section.has("file"), section.has("url")) {
        (true, true) => {
            section.error_at("url", "given together with `file`", "remove one of the two");
            return None;
        }
        (true, false) => JwksSource::File(file?),
        (false, true) => JwksSource::Url(url?),
        (false, false) => JwksSource::Discovery(discovery(section, issuer?)?),
    };
    if matches!(source, JwksSource::File(_)) {
        let of_urls = "refresh cooldown stale timeout ca";
        for key in of_urls.split(' ').filter(|key| section.has(key)) {
            section.warn_at(key, "has no effect: the keys come from a file", "remove it");
        }
    }
    Some(Jwks {
        source,
        refresh: section.duration("refresh"),
        cooldown: section.duration("cooldown"),
        stale: section.duration_or_none("stale"),
        timeout: section.duration("timeout"),
        ca: section.file("ca"),
    })
}

/// OpenID Connect Discovery 1.0 section 4.
fn discovery(section: &Section<'_>, issuer: &str) -> Option<Url> {
    let text = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    let url = Url::parse(&text);
    if url.is_none() {
        let message = "where the keys come from is not said, and the issuer is no URL to ask";
        section.error(message, "write `jwks = { url = \"https://...\" }` or `{ file = \"...\" }`");
    }
    url
}

fn basic(section: &Section<'_>) -> Basic {
    let mut users: Vec<(String, Hash)> = Vec::new();
    for (name, _, spot) in section.pairs("users") {
        if !spot.is_text("hash") {
            continue;
        }
        // The value is not shown: it may be the password itself.
        let told = |message: &str, remedy: &str| {
            let mut told = section.diagnostic(message, remedy);
            told.place = spot.node.place.clone();
            told.key.clone_from(&spot.path);
            section.report.error(told);
        };
        if name.is_empty() || name.contains(':') || name.chars().any(char::is_control) {
            told("a user's name is not empty and has no `:`", "write another name");
            continue;
        }
        match Hash::parse(spot.text()) {
            Ok(hash) => users.push((name.to_owned(), hash)),
            Err(bad) => told(
                &bad.to_string(),
                "write what `htpasswd -nB NAME` or `argon2` prints, not the password",
            ),
        }
    }
    let users_file = section.file("users_file");
    if users.is_empty() && !section.has("users") && !section.has("users_file") {
        section.error("nobody could log in", "write `users = { ... }` or `users_file = \"...\"`");
    }
    Basic { users, users_file }
}

fn mtls(section: &Section<'_>) -> Mtls {
    let names = section.texts("names").unwrap_or_default();
    let names = names.iter().filter_map(|spot| spot.read(name_pattern)).collect();
    Mtls { subjects: texts(section, "subjects").unwrap_or_default(), names }
}

fn claims_to_headers(section: &Section<'_>) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    for (name, _, spot) in section.pairs("claims_to_headers") {
        if !spot.is_text("claim") {
            continue;
        }
        match super::fields::field_name(name) {
            Ok(_) if spot.text().is_empty() => spot.error("no claim", "name one such as \"sub\""),
            Ok(name) if fields.contains_key(&name) => {
                spot.error("written twice: field names ignore case", "remove one of them");
            }
            Ok(name) => {
                fields.insert(name, spot.text().to_owned());
            }
            Err(bad) => spot.error(&bad.message, &bad.remedy),
        }
    }
    fields
}

fn texts(section: &Section<'_>, key: &str) -> Option<Vec<String>> {
    let spots = section.texts(key)?;
    let full = spots.iter().filter(|spot| {
        if spot.text().is_empty() {
            spot.error("is empty", "write something, or remove it");
        }
        !spot.text().is_empty()
    });
    Some(full.map(|spot| spot.text().to_owned()).collect())
}

fn url(text: &str) -> Result<Url, Bad> {
    Url::parse(text)
        .ok_or_else(|| Bad::new("not a URL to ask", "write \"https://id.example.com/keys\""))
}

fn identity_source(text: &str) -> Result<Source, Bad> {
    let write = "write \"header:authorization\", \"header:x-token\", \"cookie:session\" or \
                 \"query:access_token\"";
    let (kind, name) = text.split_once(':').ok_or_else(|| Bad::new("not a source", write))?;
    let good = match kind {
        "query" => !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b'='),
        _ => is_token(name),
    };
    if !good {
        return Err(Bad::new("not a name", write));
    }
    match kind {
        "header" => Ok(Source::Header(name.to_ascii_lowercase())),
        "cookie" => Ok(Source::Cookie(name.to_owned())),
        "query" => Ok(Source::Query(name.to_owned())),
        _ => Err(Bad::new("not a source", write)),
    }
}

/// RFC 6749 section 3.3.
fn scope(text: &str) -> Result<String, Bad> {
    let good = |b: u8| b.is_ascii_graphic() && b != b'"' && b != b'\\';
    if text.is_empty() || !text.bytes().all(good) {
        return Err(Bad::new("not a scope", "write one such as \"orders:read\", without blanks"));
    }
    Ok(text.to_owned())
}

fn name_pattern(text: &str) -> Result<String, Bad> {
    let inner = text.strip_prefix("*.").unwrap_or(text);
    let uri = inner.strip_suffix("/*").filter(|rest| rest.contains("://"));
    let rest = uri.unwrap_or(inner);
    if rest.is_empty() || rest.contains('*') || !rest.bytes().all(|b| b.is_ascii_graphic()) {
        let write = "write \"a.example.com\", \"*.example.com\" or \"spiffe://acme/prod/*\"";
        return Err(Bad::new("not a name, nor a pattern of names", write));
    }
    Ok(text.to_owned())
}
