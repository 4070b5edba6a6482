#!/bin/bash
# Puts on a Debian machine what the suites with real clients need: registries, clients, a web server, tools. Starts nothing:
# a policy-rc.d keeps the packages' daemons down while they are installed. Without root or without apt it only says what is
# missing; the suites that need it are skipped then, and say so. Prints what it did.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(docker.io containerd podman skopeo docker-registry nginx-light redis-server zstd openssl curl iproute2 util-linux ca-certificates git)
missing=()
for package in "${packages[@]}"; do
  status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$status" = installed ] || missing+=("$package")
done
images_built=$(find .lab -maxdepth 2 -path '.lab/images-*/storage' 2>/dev/null | head -n 1 || true)

if [ ${#missing[@]} = 0 ] && [ -n "$images_built" ]; then
  echo "prepare: packages and images are here"
  exit 0
fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "prepare: not root on a Debian machine, left out: ${missing[*]:-nothing}"
  exit 0
fi

# The lists also serve the images, which are made of Debian packages on first use; old lists name files that are gone.
export DEBIAN_FRONTEND=noninteractive
for pause in 5 15 0; do
  if apt-get -qq update; then
    echo "prepare: package lists updated"
    break
  fi
  [ "$pause" = 0 ] && echo "prepare: some package lists could not be updated, going on with what is there" && break
  sleep "$pause"
done

if [ ${#missing[@]} -gt 0 ]; then
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod +x "$policy"
  fi
  apt-get -qq -o Dpkg::Use-Pty=0 install -y --no-install-recommends "${missing[@]}" >/dev/null
  echo "prepare: installed ${missing[*]}"
fi
