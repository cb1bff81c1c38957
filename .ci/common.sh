# shellcheck shell=bash
# Sourced by the scripts of this folder.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export ROOT DEBIAN_FRONTEND=noninteractive
unset PYTHONDONTWRITEBYTECODE # each process of a test would compile every module anew
unset RUST_BACKTRACE # tests of bad records make polars panic: a page of the log for each

say() { printf '\n=== %s\n' "$*"; }
fail() {
    printf '.ci: %s\n' "$@" >&2
    exit 1
}
has() { command -v "$1" >/dev/null; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

# apt-get with patience: another process may hold its lock, a mirror may hiccup.
apt_get() {
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -q -o DPkg::Lock::Timeout=120 -o Acquire::Retries=3 "$@"
}

# Packages that a service would be started for are installed with services kept from starting.
apt_install() {
    say "apt-get install $*"
    apt_get update
    local policy=/usr/sbin/policy-rc.d
    if [ -e "$policy" ]; then
        apt_get install -y --no-install-recommends "$@"
        return
    fi
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod +x "$policy"
    local failed=0
    apt_get install -y --no-install-recommends "$@" || failed=$?
    as_root rm -f "$policy"
    return "$failed"
}

# Prove that a tool runs, and say which version it is: proven NAME COMMAND…
proven() {
    local name=$1 told
    shift
    told=$("$@" 2>&1) || fail "$name was installed and does not run: $*" "$told"
    printf '%-14s %s\n' "$name" "$(printf '%s\n' "$told" | head -n1)"
}
