#!/bin/bash
# Puts on a Debian machine what the suites with real clients need: registries, clients, a web server, tools. Starts nothing:
# a policy-rc.d keeps the packages' daemons down while they are installed. Without root or without apt it only says what is
# missing; the suites that need it are skipped then, and say so. Prints what it did.
set -euo pipefail
cd "$(dirname "$0")/.."

# package:command; whoever has the command from elsewhere (docker-ce, another nginx) keeps that.
needed=(docker.io:dockerd containerd:containerd podman:podman skopeo:skopeo buildah:buildah docker-registry:docker-registry
  nginx-light:nginx redis-server:redis-server zstd:zstd openssl:openssl curl:curl iproute2:ip util-linux:nsenter git:git
  apache2-bin:apache2 apache2-utils:htpasswd slapd:slapd systemd:systemd-analyze prometheus:prometheus chromium:chromium docker-compose:docker-compose strace:strace)
missing=()
for one in "${needed[@]}"; do
  command -v "${one#*:}" >/dev/null || missing+=("${one%:*}")
done
[ -e /etc/ssl/certs/ca-certificates.crt ] || missing+=(ca-certificates)
images_built=$(find .lab -maxdepth 2 -path '.lab/images-*/storage' 2>/dev/null | head -n 1 || true)
base_built=$(find .lab -maxdepth 1 -name 'node-*.tar' 2>/dev/null | head -n 1 || true)

if [ ${#missing[@]} = 0 ] && [ -n "$images_built" ] && [ -n "$base_built" ]; then
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
  install() { apt-get -qq -o Dpkg::Use-Pty=0 install -y --no-install-recommends "$@" >/dev/null; }
  if install "${missing[@]}"; then
    echo "prepare: installed ${missing[*]}"
  else
    # One that this Debian doesn't have must not take the others with it; its suites are skipped by name.
    for package in "${missing[@]}"; do
      install "$package" && echo "prepare: installed $package" || echo "prepare: $package could not be installed"
    done
  fi
fi
