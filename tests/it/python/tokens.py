"""Tokens by another implementation (PyJWT): prints a JWK Set and tokens, good and bad, as JSON.

Arguments: the issuer and the audience.
"""

import json
import sys
import time

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm


def keys():
    modulus = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    for name in ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]:
        yield name, modulus, RSAAlgorithm
    yield "ES256", ec.generate_private_key(ec.SECP256R1()), ECAlgorithm
    yield "ES384", ec.generate_private_key(ec.SECP384R1()), ECAlgorithm
    yield "EdDSA", ed25519.Ed25519PrivateKey.generate(), OKPAlgorithm


def main(issuer, audience):
    now = int(time.time())
    claims = {"iss": issuer, "aud": [audience], "sub": "zoë", "iat": now, "exp": now + 300}
    jwks, good, bad = [], {}, {}
    for name, private, algorithm in keys():
        jwk = json.loads(algorithm.to_jwk(private.public_key()))
        jwk |= {"kid": name, "alg": name, "use": "sig"}
        jwk.pop("key_ops", None)
        jwks.append(jwk)
        good[name] = jwt.encode(claims, private, algorithm=name, headers={"kid": name})
        late = claims | {"exp": now - 300}
        bad[f"late {name}"] = jwt.encode(late, private, algorithm=name, headers={"kid": name})
    secret = "a secret that both sides of a careless gateway would know by heart"
    bad["HS256"] = jwt.encode(claims, secret, algorithm="HS256", headers={"kid": "RS256"})
    bad["none"] = jwt.encode(claims, None, algorithm="none", headers={"kid": "RS256"})
    print(json.dumps({"jwks": {"keys": jwks}, "good": good, "bad": bad}))


main(*sys.argv[1:])
