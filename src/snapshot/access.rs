//! Authorizers of a configuration -> those of a snapshot, and what each route asks of its callers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Snapshot;
use super::authorizer::{Access, Authorizer, KeyStore, Proof, Tokens};
use super::compile::{diagnostic, of_tls};
use crate::auth::basic::Users;
use crate::auth::{Algorithms, Form, KeySet, Networks, Patterns, jwt};
use crate::bounds::JWKS_BYTES_MAX;
use crate::clock;
use crate::config::{self, Config, Diagnostic, FilePath, JwksSource, Name};
use crate::failure::ErrorFormat;
use crate::net::tls::client::{ClientSpec, ClientTls, Trust};
use crate::net::tls::server::MinVersion;
use crate::observe::access_log::{MASKED_BY_DEFAULT, QueryPolicy};
use crate::observe::registry::Registry;

/// Authorizers by name.
pub type Authorizers = BTreeMap<Name, Arc<Authorizer>>;

/// What every authorizer is made from besides its configuration.
struct From<'a> {
    previous: Option<&'a Snapshot>,
    registry: &'a Registry,
}

/// Makes all authorizers; what cannot be made is told.
pub fn compile(
    config: &Config,
    previous: Option<&Snapshot>,
    registry: &Registry,
    wrong: &mut Vec<Diagnostic>,
) -> Authorizers {
    let from = From { previous, registry };
    let mut authorizers = Authorizers::new();
    for (name, conf) in &config.authorizers {
        match from.authorizer(name, conf) {
            Ok(authorizer) => {
                authorizers.insert(name.clone(), Arc::new(authorizer));
            }
            Err(told) => wrong.push(told),
        }
    }
    authorizers
}

/// What a route asks of its callers; `None`: nothing.
#[must_use]
pub fn of_route(
    api: &config::Api,
    route: &config::Access,
    authorizers: &Authorizers,
) -> Option<Box<Access>> {
    let said = route.over(&api.access);
    let allow = said.allow_from.as_deref();
    let networks = Networks::new(allow, said.deny_from.as_deref().unwrap_or_default());
    let named = said.authorizers.unwrap_or_default();
    let access = Access {
        networks: (!networks.is_open()).then_some(networks),
        // One that could not be made has been told: the snapshot is not published.
        authorizers: named.iter().filter_map(|name| authorizers.get(name).cloned()).collect(),
        scopes: said.scopes.unwrap_or_default().into_iter().map(String::into_boxed_str).collect(),
        mfa: said.mfa.unwrap_or(false),
        form: match api.errors {
            ErrorFormat::Aws => Form::Aws,
            _ => Form::Rfc,
        },
    };
    (!access.is_open()).then(|| Box::new(access))
}

/// What the log hides of queries: also where a token stands in one.
#[must_use]
pub fn masks(config: &Config) -> QueryPolicy {
    let mut names: Vec<&str> = MASKED_BY_DEFAULT.to_vec();
    names.extend(config.authorizers.values().filter_map(|authorizer| match &authorizer.proof {
        config::Proof::Jwt(jwt) => match &jwt.identity_source {
            config::Source::Query(name) => Some(name.as_str()),
            config::Source::Header(_) | config::Source::Cookie(_) => None,
        },
        config::Proof::Basic(_) | config::Proof::Mtls(_) => None,
    }));
    QueryPolicy::mask(&names)
}

/// The fields that only an authorizer of this API may put on a request: on no route of it does a
/// client's own copy pass, be the route open or its token without the claim.
#[must_use]
pub fn claimed_fields(api: &config::Api, config: &Config) -> Arc<[Box<str>]> {
    let of_routes =
        api.routes.values().flatten().filter_map(|route| route.access.authorizers.as_ref());
    let named = api.access.authorizers.iter().chain(of_routes).flatten();
    let authorizers = named.filter_map(|name| config.authorizers.get(name));
    let mut fields: Vec<Box<str>> = authorizers
        .flat_map(|authorizer| authorizer.claims_to_headers.keys())
        .map(|name| Box::from(name.as_str()))
        .collect();
    fields.sort_unstable();
    fields.dedup();
    fields.into()
}

/// Whether a field, as received, is one of those; `_` counts as `-`, for CGI and its kin turn both
/// into the same variable.
#[must_use]
pub fn is_claimed(fields: &[Box<str>], name: &[u8]) -> bool {
    let same = |(a, b): (u8, &u8)| {
        a == b.to_ascii_lowercase() || (matches!(a, b'-' | b'_') && matches!(b, b'-' | b'_'))
    };
    fields.iter().any(|field| field.len() == name.len() && field.bytes().zip(name).all(same))
}

// === impl From ===

impl From<'_> {
    fn authorizer(&self, name: &Name, conf: &config::Authorizer) -> Result<Authorizer, Diagnostic> {
        let at = format!("authorizers.{name}");
        let proof = match &conf.proof {
            config::Proof::Jwt(jwt) => Proof::Token(Box::new(self.tokens(name, conf, jwt)?)),
            config::Proof::Basic(basic) => Proof::Password(Box::new(users(&at, conf, basic)?)),
            config::Proof::Mtls(mtls) => {
                let boxed =
                    |list: &[String]| list.iter().map(|text| text.as_str().into()).collect();
                let (subjects, names) = (boxed(&mtls.subjects), boxed(&mtls.names));
                Proof::Certificate(Patterns { subjects, names })
            }
        };
        let headers = conf.claims_to_headers.iter();
        static AUTHORIZERS: AtomicU64 = AtomicU64::new(1);
        Ok(Authorizer {
            id: AUTHORIZERS.fetch_add(1, Ordering::Relaxed),
            name: name.clone(),
            proof,
            realm: Arc::from(&*conf.realm),
            headers: headers
                .map(|(name, claim)| (name.as_str().into(), claim.as_str().into()))
                .collect(),
            log_claims: conf.log_claims.iter().map(|claim| Arc::from(claim.as_str())).collect(),
            forward_credentials: conf.forward_credentials,
            cells: self.registry.authorizer(name),
        })
    }

    fn tokens(
        &self,
        name: &Name,
        conf: &config::Authorizer,
        jwt: &config::Jwt,
    ) -> Result<Tokens, Diagnostic> {
        let any = jwt.audiences.iter().any(|audience| audience == "*");
        let audiences = jwt.audiences.iter().map(|audience| audience.as_str().into()).collect();
        Ok(Tokens {
            rules: jwt::Rules {
                issuer: jwt.issuer.as_str().into(),
                audiences: (!any).then_some(audiences),
                algorithms: Algorithms::of(&jwt.algorithms),
                leeway: jwt.leeway.as_secs(),
            },
            source: jwt.identity_source.clone(),
            bearer_required: jwt.bearer == config::Bearer::Required,
            keys: self.keys(name, conf, jwt)?,
            jwks: jwt.jwks.clone(),
        })
    }

    /// The store that was there, if it is filled from the same place for the same issuer.
    fn keys(
        &self,
        name: &Name,
        conf: &config::Authorizer,
        jwt: &config::Jwt,
    ) -> Result<Arc<KeyStore>, Diagnostic> {
        let at = format!("authorizers.{name}.jwks");
        let old = self.previous.and_then(|snapshot| snapshot.authorizers.get(name));
        let old = old.and_then(|authorizer| match &authorizer.proof {
            Proof::Token(tokens) => Some(&tokens.keys),
            Proof::Password(_) | Proof::Certificate(_) => None,
        });
        let tls = match &jwt.jwks.source {
            JwksSource::File(_) => None,
            JwksSource::Url(url) | JwksSource::Discovery(url) => {
                let spec = ClientSpec {
                    min_version: MinVersion::Tls12,
                    trust: match &jwt.jwks.ca {
                        Some(ca) => Trust::File(ca.path.clone()),
                        None => Trust::System,
                    },
                    server_name: None,
                    identity: None,
                    alpn: vec![b"http/1.1".to_vec()],
                };
                let before = old.and_then(|old| old.tls.as_deref());
                // Discovery may lead elsewhere, but never from https to http.
                let tls = url.https.then(|| ClientTls::build(&spec, before, clock::wall()));
                tls.transpose().map_err(|error| of_tls(&error, &conf.place, &at))?.map(Arc::new)
            }
        };
        let same = |old: &&Arc<KeyStore>| {
            same_place(&old.from, &jwt.jwks.source)
                && *old.issuer == *jwt.issuer
                && config(&old.tls) == config(&tls)
        };
        if let Some(old) = old.filter(same) {
            if let JwksSource::File(file) = &jwt.jwks.source {
                old.ends(Some(read_keys(file, &at)?), &jwt.jwks, clock::now());
            }
            return Ok(old.clone());
        }
        let cells = self.registry.jwks(name);
        let store = KeyStore::new(name, &jwt.issuer, jwt.jwks.source.clone(), tls, cells);
        if let JwksSource::File(file) = &jwt.jwks.source {
            store.ends(Some(read_keys(file, &at)?), &jwt.jwks, clock::now());
        }
        Ok(Arc::new(store))
    }
}

fn same_place(old: &JwksSource, new: &JwksSource) -> bool {
    match (old, new) {
        // Where in the configuration it is named does not matter.
        (JwksSource::File(old), JwksSource::File(new)) => old.path == new.path,
        (old, new) => old == new,
    }
}

/// Whether two trust the same: a new file of authorities makes a new configuration.
fn config(tls: &Option<Arc<ClientTls>>) -> Option<*const ()> {
    tls.as_ref().map(|tls| Arc::as_ptr(tls.config()).cast())
}

fn read_keys(file: &FilePath, at: &str) -> Result<KeySet, Diagnostic> {
    let told = |message: &str| diagnostic(&file.place, &format!("{at}.file"), message, "");
    let text = read(file).map_err(|error| told(&format!("{}: {error}", file.path.display())))?;
    KeySet::parse(&text).map_err(|error| told(&format!("{}: {error}", file.path.display())))
}

/// A file, as long as it is not longer than a key set may be.
fn read(file: &FilePath) -> std::io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    let most = JWKS_BYTES_MAX as u64 + 1;
    std::fs::File::open(&file.path)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn users(at: &str, conf: &config::Authorizer, basic: &config::Basic) -> Result<Users, Diagnostic> {
    let mut all: Vec<_> =
        basic.users.iter().map(|(name, hash)| (Box::from(name.as_str()), hash.clone())).collect();
    if let Some(file) = &basic.users_file {
        let key = format!("{at}.users_file");
        let told = |message: &str| diagnostic(&file.place, &key, message, "");
        let text = std::fs::read_to_string(&file.path)
            .map_err(|error| told(&format!("{}: {error}", file.path.display())))?;
        let read = Users::parse_file(&text)
            .map_err(|(line, why)| told(&format!("{}:{line}: {why}", file.path.display())))?;
        for (name, hash) in read {
            if all.iter().any(|(other, _)| *other == name) {
                return Err(told(&format!("{name} stands in `users` as well")));
            }
            all.push((name, hash));
        }
    }
    Users::new(all).ok_or_else(|| diagnostic(&conf.place, at, "nobody could log in", ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claimed_field_is_known_however_it_is_spelt() {
        let fields = [Box::from("x-user-id")];
        for name in ["x-user-id", "X-User-Id", "X_USER_ID", "x_user-id"] {
            assert!(is_claimed(&fields, name.as_bytes()), "{name}");
        }
        for name in ["x-user-i", "x-user-idx", "xxuser-id", ""] {
            assert!(!is_claimed(&fields, name.as_bytes()), "{name}");
        }
    }
}
