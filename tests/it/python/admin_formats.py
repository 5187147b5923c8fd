"""The formats of the admin API's document that JSON Schema does not know, for schemathesis."""

import ipaddress

import schemathesis
from hypothesis import strategies as st


def network(parts):
    address, bits = parts
    return str(ipaddress.ip_network((address, min(bits, address.max_prefixlen)), strict=False))


def second(number):
    import datetime

    at = datetime.datetime.fromtimestamp(number, datetime.timezone.utc)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


schemathesis.openapi.format(
    "network", st.tuples(st.ip_addresses(), st.integers(0, 128)).map(network)
)
schemathesis.openapi.format("etag", st.from_regex('^"[0-9a-f]{24}"$', fullmatch=True))
schemathesis.openapi.format("date-time", st.integers(0, 4_294_967_294).map(second))
schemathesis.openapi.format("since", st.sampled_from(["24h", "7d", "2020-01-01"]))
schemathesis.openapi.format("until", st.sampled_from(["0s", "1m", "2099-01-01T12:00:00Z"]))
schemathesis.openapi.format(
    "conditions", st.sampled_from(["", "key=acme", "model=a,outcome=ok", "day=2026-01-31"])
)
