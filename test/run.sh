#!/bin/bash
# npm test: everything that must hold. Ends with `N passed, N failed, N skipped` and fails when anything did, also when a
# suite was skipped although the machine has what it needs. Arguments go to vitest: npm test -- --project unit
set -euo pipefail
cd "$(dirname "$0")/.."

step() {
  echo "== $*"
  "$@" < /dev/null || { echo "$* failed"; echo "0 passed, 1 failed, 0 skipped"; exit 1; }
}

step bash test/prepare.sh
step npm run --silent build
step npm run --silent typecheck
step npm run --silent lint
exec npx vitest run --config test/vitest.config.ts "$@" < /dev/null
