#!/bin/sh
# Builds dist from src, with the page in dist/ui, and writes the commit that it was built from into dist/build.json. With --if-needed (npm's `prepare`,
# and before a start) only where dist is missing or older than src. An installed package has no src: its dist is complete.
# COMMIT names the commit where there is no checkout, as in a container.
set -eu
cd "$(dirname "$0")/.."
compiler=node_modules/typescript/bin/tsc
bundler=node_modules/vite/package.json

# Why dist can't be run as it is; empty: it can.
find_fault() {
  if [ ! -e dist/build.json ]; then
    echo 'dist is not built'
  elif [ -d src ] && [ -n "$(find src package.json -newer dist/build.json | head -n 1)" ]; then
    echo 'dist is older than src'
  fi
}

find_commit() {
  if [ -n "${COMMIT:-}" ]; then
    printf '"%s"' "$COMMIT"
  elif [ -e .git ] && commit=$(git describe --always --dirty '--exclude=*' 2>/dev/null); then
    printf '"%s"' "$commit"
  else
    printf null
  fi
}

# $1: the folder with the sources and the compiler. What a failed build leaves has no build.json, so it is not taken for complete.
build() {
  rm -f dist/build.json
  node "$1/$compiler" -p "$1/src" --outDir "$PWD/dist" >&2 || exit 1
  node "$1/deploy/build-page.js" "$PWD/dist/ui" >&2 || exit 1
  printf '{"commit":%s}\n' "$(find_commit)" > dist/build.json
}

# `npm i -g` of a git URL runs `prepare` without the compiler: npm hands --global down to the installation that should bring
# it. So the build is made in a folder of its own.
build_for_global() {
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' EXIT
  cp -r package.json package-lock.json tsconfig.json src deploy "$folder/"
  (cd "$folder" && unset npm_config_global npm_config_prefix \
    && node "$npm_execpath" ci --global=false --include=dev --ignore-scripts --no-audit --no-fund >&2)
  build "$folder"
}

fault=$(find_fault)
if [ "${1:-}" = --if-needed ] && [ -z "$fault" ]; then
  exit 0
elif [ -e "$compiler" ] && [ -e "$bundler" ]; then
  build .
elif [ "${npm_config_global:-}" = true ] && [ -n "${npm_execpath:-}" ]; then
  build_for_global
else
  echo "${fault:-dist can not be built}, and the compiler is not installed: run npm ci in $PWD" >&2
  exit 1
fi
