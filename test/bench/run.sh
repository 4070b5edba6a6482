#!/bin/bash
# npm run bench: builds the mirror and the programs of the bench, gets the peers that can be got, measures, and writes docs/performance.md.
# `npm run bench -- hot-blob` measures one file; `-- --quick` makes one round of everything, to see that it works, and writes no page.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=.lab/bench
args=()
for arg in "$@"; do
  if [ "$arg" = --quick ]; then export BENCH_QUICK=1; else args+=("$arg"); fi
done
npm run --silent build
npx tsc -p test/bench/programs
mkdir -p "$out/results"
if command -v cc > /dev/null; then
  cc -O2 -o "$out/drain" test/bench/native/drain.c
  cc -O2 -o "$out/copy-server" test/bench/native/copy-server.c
else
  echo 'no C compiler: a client of Node measures instead' >&2
fi
if command -v go > /dev/null && [ ! -x "$out/go/registry" ]; then
  GOBIN="$PWD/$out/go" go install github.com/distribution/distribution/v3/cmd/registry@v3.1.2 \
    || echo 'Go could not install distribution 3' >&2
fi
status=0
npx vitest run --config test/bench/vitest.config.ts ${args[@]+"${args[@]}"} < /dev/null || status=$?
node "$out/test/bench/programs/write-performance.js" "$out/results" docs/performance.md
exit "$status"
