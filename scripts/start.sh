#!/bin/sh
# npm start: builds when there is no build or one older than the sources, then becomes the mirror.
# `exec`, because npm hands a signal to its child only: a shell in between would end and leave the mirror behind.
set -eu
cd "$(dirname "$0")/.."
if [ ! -e dist/.built ] || [ -n "$(find src package.json -newer dist/.built | head -n 1)" ]; then
  npm run --silent build >&2
fi
exec node dist/main.js serve "$@"
