#!/usr/bin/env bash
# What config/examples/orders.toml does, line by line: each step is a curl line, and what its answer must hold.
# Both configurations must be running (see the head of orders.toml). API names another address.
set -u
API=${API:-http://127.0.0.1:8080}
ACME='x-api-key: acme-demo-secret-0001'
BETA='x-api-key: beta-demo-secret-0001'
LAB='x-api-key: lab0-demo-secret-0001'
# Signed with a key nobody has any more; the public one is in orders.jwks.json.
ADMIN='eyJhbGciOiJFUzI1NiIsImtpZCI6ImRlbW8tMSIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUuY29tLyIsImF1ZCI6Im9yZGVycyIsInN1YiI6ImFkYSIsImlhdCI6MTc2NzIyNTYwMCwiZXhwIjo0MDcwOTA4ODAwLCJzY29wZSI6Im9yZGVyczpyZWFkIG9yZGVyczphZG1pbiJ9.WVMssYHd26RhRldJrKb3nUal4qz3-kIlWbYtx6TRQc_BLE7pQnmkiMbnvJYEqk6B-_P0FRKij5_tOyyYzqyBig'
READER='eyJhbGciOiJFUzI1NiIsImtpZCI6ImRlbW8tMSIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUuY29tLyIsImF1ZCI6Im9yZGVycyIsInN1YiI6ImFkYSIsImlhdCI6MTc2NzIyNTYwMCwiZXhwIjo0MDcwOTA4ODAwLCJzY29wZSI6Im9yZGVyczpyZWFkIn0.5E5x3HwFmM9N9sLmjqo5PhAUk9GzSUKXQTuYwCe2MhNd8iAnQq1Bz4zCIli-chas3gs4mmTWP-X96P6p69Trcg'
EXPIRED='eyJhbGciOiJFUzI1NiIsImtpZCI6ImRlbW8tMSIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUuY29tLyIsImF1ZCI6Im9yZGVycyIsInN1YiI6ImFkYSIsImlhdCI6MTc2NzIyNTYwMCwiZXhwIjoxNzY3MjI5MjAwLCJzY29wZSI6Im9yZGVyczphZG1pbiJ9.XRLOPnSUtYAKj2gcGDQT1yuhai7QxTJM921MOQSfte9OjHO1IPyeWXnx0vypHkt5uVF3cADbmbyqFoheWixXqQ'
steps=0
failures=0

# expect "what" "pattern" ["pattern" ...] -- curl's arguments
expect() {
    local what=$1 answer pattern
    shift
    local patterns=()
    while [ "$1" != -- ]; do
        patterns+=("$1")
        shift
    done
    shift
    steps=$((steps + 1))
    answer=$(curl -sS -i --max-time 10 "$@" | tr -d '\r')
    for pattern in "${patterns[@]}"; do
        if ! grep -qiE -- "$pattern" <<<"$answer"; then
            failures=$((failures + 1))
            printf 'not ok: %s: no %s in\n%s\n' "$what" "$pattern" "$answer"
            return
        fi
    done
    printf 'ok: %s\n' "$what"
}

# --- versions ------------------------------------------------------------------------------------------

expect 'v1 is deprecated, and says until when and what is next' \
    '^HTTP/1.1 200' '^x-served-by: v1' '^deprecation: @1767225600' '^sunset: Thu, 31 Dec 2099' \
    '^link: </orders/docs/v1-migration>; rel="deprecation"' '^link: </orders/v2/items>; rel="successor-version"' \
    -- -H "$ACME" "$API/orders/v1/items"

expect 'v2 is active' '^HTTP/1.1 200' '^x-served-by: v2' '^x-seen-path: /orders/v2/items/7' \
    -- -H "$ACME" "$API/orders/v2/items/7"

expect 'v3 is a beta' '^HTTP/1.1 200' '^x-served-by: v3' -- -H "$ACME" "$API/orders/v3/items"

expect 'a request that names no version gets the default' '^x-served-by: v2' -- -H "$ACME" "$API/orders/items"

expect 'a field may name it' '^x-served-by: v3' -- -H "$ACME" -H 'api-version: v3' "$API/orders/items"

expect 'a version there is not' '^HTTP/1.1 404' 'API_VERSION_NOT_FOUND' '"available_versions":\["v1","v2","v3"\]' \
    -- -H "$ACME" "$API/orders/v9/items"

expect 'a route that v1 does not have yet' '^HTTP/1.1 404' -- -H "$ACME" -X POST "$API/orders/v1/refunds"

expect 'and v2 has' '^HTTP/1.1 200' '^x-served-by: v2' -- -H "$ACME" -X POST "$API/orders/v2/refunds"

expect 'the list of versions needs no key' '"id": ?"v1"' '"status": ?"deprecated"' '"successor": ?"v2"' \
    -- "$API/orders/.well-known/api-versions"

expect 'the guide of v1' '^HTTP/1.1 200' 'Amounts are in cents' -- "$API/orders/docs/v1-migration"

# --- stages and the canary -----------------------------------------------------------------------------

expect 'the stage dev has its variables' '^x-seen-env: dev' -- -H "$ACME" "$API/orders/dev/v2/items"

expect 'the default stage has others' '^x-seen-env: prod' -- -H "$ACME" "$API/orders/v2/items"

canaries=0
for user in $(seq 1 200); do
    curl -sS -i --max-time 10 -H "$ACME" -H "x-user: $user" "$API/orders/v2/items" |
        grep -qi '^x-seen-track: canary' && canaries=$((canaries + 1))
done
steps=$((steps + 1))
# Which users are in is a matter of a fixed hash, so this is the same number every time.
if [ "$canaries" -ge 10 ] && [ "$canaries" -le 32 ]; then
    echo "ok: the canary gets about a tenth: $canaries of 200 users"
else
    failures=$((failures + 1))
    echo "not ok: the canary got $canaries of 200 users"
fi

# --- keys and plans ------------------------------------------------------------------------------------

expect 'without a key' '^HTTP/1.1 401' 'AUTH_004' '^www-authenticate:' -- "$API/orders/v2/items"

expect 'with one nobody has' '^HTTP/1.1 401' 'AUTH_005' -- -H 'x-api-key: nobody-has-this-secret' "$API/orders/v2/items"

expect 'a key that is good on dev only, there' '^HTTP/1.1 200' -- -H "$LAB" "$API/orders/dev/v2/items"

expect 'and elsewhere' '^HTTP/1.1 403' 'AUTH_006' -- -H "$LAB" "$API/orders/v2/items"

expect 'the upstream does not see the key' '^x-seen-key: *$' -- -H "$ACME" "$API/orders/v2/items"

expect 'the plan gold tells what is left' '^ratelimit-policy: .*q=' '^ratelimit: .*r=' -- -H "$ACME" "$API/orders/v2/items"

expect 'the plan free admits two at once, the first' '^HTTP/1.1 200' -- -H "$BETA" "$API/orders/v2/items"
expect 'and the second, by another value of the same key' '^HTTP/1.1 200' \
    -- -H 'x-api-key: beta-demo-secret-0002' "$API/orders/v2/items"
expect 'not a third' '^HTTP/1.1 429' 'RATE_LIMIT_001' '^retry-after: [0-9]+' -- -H "$BETA" "$API/orders/v2/items"

# --- tokens --------------------------------------------------------------------------------------------

expect 'an admin route without a token' '^HTTP/1.1 401' 'AUTH_009' '^www-authenticate: Bearer' \
    -- -X DELETE "$API/orders/v2/items/7"

expect 'with one that lacks the scope' '^HTTP/1.1 403' 'AUTH_002' 'insufficient_scope' \
    -- -X DELETE -H "authorization: Bearer $READER" "$API/orders/v2/items/7"

expect 'with one that has expired' '^HTTP/1.1 401' 'AUTH_001' 'invalid_token' \
    -- -X DELETE -H "authorization: Bearer $EXPIRED" "$API/orders/v2/items/7"

expect 'with a good one' '^HTTP/1.1 200' -- -X DELETE -H "authorization: Bearer $ADMIN" "$API/orders/v2/items/7"

# --- CORS ----------------------------------------------------------------------------------------------

expect 'a preflight is answered here, without a key' '^HTTP/1.1 204' '^access-control-allow-origin: https://app.example.com' \
    -- -X OPTIONS -H 'origin: https://app.example.com' -H 'access-control-request-method: DELETE' "$API/orders/v2/items/7"

expect 'pages may read refusals too' '^HTTP/1.1 401' '^access-control-allow-origin: https://app.example.com' \
    -- -H 'origin: https://app.example.com' "$API/orders/v2/items"

echo "$steps steps, $failures failed"
[ "$failures" = 0 ]
