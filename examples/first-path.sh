#!/usr/bin/env bash
# The whole life of a token against the local setup of `longcase serve`:
# issued, used, renewed, refused and ended. Needs curl, jq and openssl.
#
#   examples/first-path.sh CLIENT_SECRET PASSWORD      # both as printed by longcase serve
set -euo pipefail
secret=${1:?client secret, as longcase serve printed it}
password=${2:?password of alice, as longcase serve printed it}
issuer=http://127.0.0.1:4600
gate=http://127.0.0.1:4610
callback=http://127.0.0.1:8080/callback

say() { printf '\n# %s\n' "$*"; }
short() { jq -c 'with_entries(if (.value | type) == "string" and (.value | length) > 60 then .value |= .[0:24] + "…" else . end)'; }

say "issue: a token for a service (client_credentials)"
answer=$(curl -s -u "demo:$secret" -d grant_type=client_credentials "$issuer/token")
echo "$answer" | short

say "use: through the gate"
curl -s "$gate/orders/" -H "Authorization: Bearer $(echo "$answer" | jq -r .access_token)"; echo

say "sign in: alice, authorization code with PKCE"
verifier=$(openssl rand -hex 32)
challenge=$(printf %s "$verifier" | openssl dgst -sha256 -binary | openssl base64 -A | tr '+/' '-_' | tr -d =)
jar=$(mktemp); page=$(mktemp); trap 'rm -f "$jar" "$page"' EXIT
curl -s -c "$jar" -b "$jar" -o "$page" -G "$issuer/authorize" -d response_type=code -d client_id=web-app \
  --data-urlencode "redirect_uri=$callback" -d code_challenge="$challenge" -d code_challenge_method=S256 -d state=s1 --data-urlencode 'scope=openid orders.read'
fields=()
while IFS=$'\t' read -r name value; do fields+=(--data-urlencode "$name=$value"); done < <(
  grep -o '<input[^>]*type="hidden"[^>]*>' "$page" | sed 's/.*name="\([^"]*\)".*value="\([^"]*\)".*/\1\t\2/' | sed 's/&#43;/+/g; s/&amp;/\&/g')
action=$(grep -o '<form[^>]*action="[^"]*"' "$page" | sed 's/.*action="\([^"]*\)".*/\1/')
location=$(curl -s -o /dev/null -w '%{redirect_url}' -c "$jar" -b "$jar" "$issuer$action" "${fields[@]}" \
  --data-urlencode username=alice --data-urlencode "password=$password")
echo "back at the client: $(echo "$location" | sed 's/code=[^&]*/code=lc_ac_…/')"
code=$(echo "$location" | sed -n 's/.*[?&]code=\([^&]*\).*/\1/p')

say "redeem: access token, ID token and refresh token"
first=$(curl -s "$issuer/token" -d grant_type=authorization_code -d client_id=web-app -d code="$code" \
  --data-urlencode "redirect_uri=$callback" -d code_verifier="$verifier")
echo "$first" | short

say "renew: the next generation"
second=$(curl -s "$issuer/token" -d grant_type=refresh_token -d client_id=web-app -d refresh_token="$(echo "$first" | jq -r .refresh_token)")
echo "$second" | short

say "renew again, and then present the first generation: reuse, and the session ends"
curl -s "$issuer/token" -d grant_type=refresh_token -d client_id=web-app -d refresh_token="$(echo "$second" | jq -r .refresh_token)" | short
curl -s "$issuer/token" -d grant_type=refresh_token -d client_id=web-app -d refresh_token="$(echo "$first" | jq -r .refresh_token)"; echo

say "refuse: the session's access token at the gate, with the reason"
sleep 1
curl -s "$gate/orders/" -H "Authorization: Bearer $(echo "$second" | jq -r .access_token)"; echo
