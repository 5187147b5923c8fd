//! Rows of `[authorizers.NAME]`, and of the keys by which APIs and routes use them.

use super::{Kind, Range, Row};
use crate::bounds;

pub(super) const ROWS: &[Row] = &[
    Row::new(
        "authorizers",
        Kind::Named,
        "Who proves who a caller is. An authorizer protects nothing until an API or a route names \
         it in `authorizer` or `authorizers`.",
    ),
    Row::new("authorizers.*", Kind::Table, "One of them, of one `type`."),
    Row::new(
        "authorizers.*.type",
        Kind::Choice { default: None, words: &["jwt", "basic", "mtls"] },
        "`jwt`: a signed token. `basic`: a name and a password (RFC 7617). `mtls`: a client \
         certificate, which the listener verifies (`tls.client_ca`).",
    )
    .example(r#""jwt""#)
    .required(),
    Row::new(
        "authorizers.*.realm",
        Kind::text("any text"),
        "`realm` of `WWW-Authenticate`. Without it: the authorizer's name.",
    )
    .example(r#""orders""#),
    Row::new(
        "authorizers.*.issuer",
        Kind::text("text"),
        "`jwt`: what `iss` must be, exactly. Required there.",
    )
    .example(r#""https://id.example.com/""#),
    Row::new(
        "authorizers.*.audiences",
        Kind::texts("text"),
        "`jwt`: `aud` (or, in a token without it, `client_id`) must be one of these; `[\"*\"]` \
         takes tokens meant for anybody. Required there.",
    )
    .example(r#"["orders"]"#),
    Row::new(
        "authorizers.*.algorithms",
        Kind::Texts {
            default: Some(&[
                "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA",
            ]),
            form: "algorithm",
        },
        "`jwt`: the signatures accepted. A key that names its algorithm is used with that one \
         only, any other with those of its kind; `none` and HMAC are never accepted.",
    )
    .example(r#"["RS256", "ES256"]"#),
    Row::new(
        "authorizers.*.leeway",
        Kind::duration(bounds::TOKEN_LEEWAY_MS, Range::of(0, bounds::TOKEN_LEEWAY_MAX_MS)),
        "`jwt`: how far the issuer's clock may be from the gateway's when `exp`, `nbf` and `iat` \
         are judged.",
    ),
    Row::new(
        "authorizers.*.identity_source",
        Kind::Text {
            default: Some("header:authorization"),
            form: "`header:NAME`, `cookie:NAME` or `query:NAME`",
        },
        "`jwt`: where the token stands.",
    )
    .example(r#""cookie:session""#),
    Row::new(
        "authorizers.*.bearer",
        Kind::choice("required", &["required", "optional"]),
        "`jwt`: whether `Bearer ` must stand before the token in `Authorization` (in any case; \
         AWS API Gateway takes it with or without). Elsewhere it may.",
    ),
    Row::new("authorizers.*.jwks", Kind::Table, "`jwt`: where the issuer's public keys come from."),
    Row::new(
        "authorizers.*.jwks.url",
        Kind::text("`http://` or `https://` URL"),
        "A JWK Set, fetched by the gateway. Without it and without `file`: what the issuer's \
         `/.well-known/openid-configuration` names. Until keys have come, callers get 503.",
    )
    .example(r#""https://id.example.com/keys""#),
    Row::new(
        "authorizers.*.jwks.file",
        Kind::text("path"),
        "A JWK Set in a file, read anew on SIGHUP and when it changes; one that cannot be read \
         then leaves the keys as they were.",
    )
    .example(r#""jwks.json""#),
    Row::new(
        "authorizers.*.jwks.refresh",
        Kind::duration(bounds::JWKS_REFRESH_MS, Range::of(1_000, bounds::DAY_MS)),
        "At least so often keys are fetched again; sooner where the answer's `max-age` is \
         shorter.",
    ),
    Row::new(
        "authorizers.*.jwks.cooldown",
        Kind::duration(bounds::JWKS_COOLDOWN_MS, Range::of(100, bounds::HOUR_MS)),
        "A token of an unknown key has the keys fetched again, but no sooner than so long after \
         the last time: nobody can make the gateway ask more often.",
    ),
    Row::new(
        "authorizers.*.jwks.stale",
        Kind::duration(
            bounds::JWKS_STALE_MS,
            Range::of(1_000, 365 * bounds::DAY_MS).zero("for ever"),
        ),
        "So long keys stay in use while they cannot be fetched again; then callers get 503.",
    ),
    Row::new(
        "authorizers.*.jwks.timeout",
        Kind::duration(bounds::JWKS_TIMEOUT_MS, Range::of(100, 30_000)),
        "For one fetch as a whole; what AWS API Gateway gives it.",
    ),
    Row::new(
        "authorizers.*.jwks.ca",
        Kind::text("path"),
        "PEM file of the authorities that vouch for the server of the keys. Without it: the \
         system's.",
    )
    .example(r#""tls/ca.pem""#),
    Row::new(
        "authorizers.*.users",
        Kind::Pairs("user = hash"),
        "`basic`: names and the hashes of their passwords, argon2id or bcrypt.",
    )
    .example(r#"{ ada = "$2y$10$..." }"#),
    Row::new(
        "authorizers.*.users_file",
        Kind::text("path"),
        "`basic`: the same in a file, one `name:hash` a line, as `htpasswd -B` writes it; read \
         anew on SIGHUP.",
    )
    .example(r#""users.htpasswd""#),
    Row::new(
        "authorizers.*.subjects",
        Kind::texts("subject"),
        "`mtls`: subjects accepted, whole, as RFC 4514 writes them. Without `subjects` and \
         `names` every certificate that the listener's authorities vouch for is accepted.",
    )
    .example(r#"["CN=billing,O=Acme"]"#),
    Row::new(
        "authorizers.*.names",
        Kind::texts("name"),
        "`mtls`: alternative names accepted: hosts (`*.` for any labels before), URIs (`/*` at \
         the end for any path below), mail addresses.",
    )
    .example(r#"["*.internal.example.com", "spiffe://acme/prod/*"]"#),
    Row::new(
        "authorizers.*.claims_to_headers",
        Kind::Pairs("field name = claim"),
        "Fields the upstream gets from the claims (dotted names lead into objects; a list has \
         commas). Fields of these names that a client sends are never passed on, by no route of \
         the API; where an edit sets one too, the edit's stands. Of a password there is the \
         claim `sub`, of a certificate `sub`, `subject`, `cn`, `dns`, `uri`, `email`, \
         `fingerprint`.",
    )
    .example(r#"{ x-user = "sub", x-tenant = "org.id" }"#),
    Row::new(
        "authorizers.*.log_claims",
        Kind::texts("claim"),
        "Claims that go into the access log's field `claims`.",
    )
    .example(r#"["email"]"#),
    Row::new(
        "authorizers.*.forward_credentials",
        Kind::Flag(true),
        "Whether the upstream gets the field that held the proof. Without it: a token is passed \
         on, a password is not.",
    ),
];

/// The rows of an API or a route: the same keys in both.
macro_rules! access {
    ($at:literal, $else:literal) => {
        &[
            Row::new(
                concat!($at, ".authorizer"),
                Kind::text("name of an authorizer, or `none`"),
                concat!("The authorizer that proves callers; `none` lets everybody in. ", $else),
            )
            .example(r#""sso""#),
            Row::new(
                concat!($at, ".authorizers"),
                Kind::texts("name of an authorizer"),
                "Several: the first that proves the caller is enough. Not together with \
                 `authorizer`.",
            )
            .example(r#"["sso", "partners"]"#),
            Row::new(
                concat!($at, ".scopes"),
                Kind::texts("scope"),
                concat!(
                    "The token must have at least one of these in `scope` or `scp` (403 \
                     otherwise). ",
                    $else
                ),
            )
            .example(r#"["orders:read"]"#),
            Row::new(
                concat!($at, ".mfa"),
                Kind::Flag(false),
                concat!(
                    "Whether the caller must have shown a second factor: `mfa` in the token's \
                     `amr` (RFC 8176). ",
                    $else
                ),
            ),
            Row::new(
                concat!($at, ".allow_from"),
                Kind::texts("network"),
                concat!("Only callers from these networks. ", $else),
            )
            .example(r#"["10.0.0.0/8"]"#),
            Row::new(
                concat!($at, ".deny_from"),
                Kind::texts("network"),
                concat!("No callers from these, also if `allow_from` has them. ", $else),
            )
            .example(r#"["10.6.6.6"]"#),
        ]
    };
}

pub(super) const OF_APIS: &[Row] = access!("apis.*", "Routes may say otherwise.");
pub(super) const OF_ROUTES: &[Row] = access!("apis.*.routes.*", "Without it: the API's.");
