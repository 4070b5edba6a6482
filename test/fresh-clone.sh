#!/bin/bash
# The README's two commands on a clone of the last commit in an empty folder, with nothing of this checkout in reach:
# `npm ci`, `npm start --silent`; then one look at the mirror, one signal, and nothing may be left. Run by hand: it needs the
# npm registry.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=$(mktemp -d)
npm_pid=
finish() {
  [ -z "$npm_pid" ] || kill "$npm_pid" 2>/dev/null || true
  rm -rf "$folder"
}
trap finish EXIT

git clone -q . "$folder/cistern"
cd "$folder/cistern"
npm ci --no-audit --no-fund
: > "$folder/log"
CISTERN_HTTP_LISTEN=127.0.0.1:0 CISTERN_STORE_PATH="$folder/data" npm start --silent > "$folder/log" 2>&1 < /dev/null &
npm_pid=$!

for _ in $(seq 600); do
  ready=$(grep '"msg":"listening"' "$folder/log" || true)
  [ -z "$ready" ] || break
  kill -0 "$npm_pid" 2>/dev/null || { cat "$folder/log"; exit 1; }
  sleep 0.1
done
url=$(printf %s "$ready" | sed -n 's/.*"url":"\([^"]*\)".*/\1/p')
mirror_pid=$(printf %s "$ready" | grep -o '"pid":[0-9]*' | tail -n 1 | cut -d: -f2)
echo "listening on $url, pid $mirror_pid"
curl -fsS -o /dev/null -w 'GET /v2/ %{http_code}\n' "$url/v2/"
curl -fsS -o /dev/null -w 'GET /readyz %{http_code}\n' "$url/readyz"

kill "$npm_pid"
wait "$npm_pid" || true
npm_pid=
for _ in $(seq 50); do
  kill -0 "$mirror_pid" 2>/dev/null || { echo "fresh clone: works, and nothing is left"; exit 0; }
  sleep 0.1
done
echo "fresh clone: process $mirror_pid is still there"
exit 1
