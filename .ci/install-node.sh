#!/usr/bin/env bash
# Node, and Grafana's own packages as tests/grafana/package-lock.json pins them, in .cache/grafana:
# for the tests marked needs_node. No install script of a package runs.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

FOLDER="$ROOT/.cache/grafana"
LOCK="$ROOT/tests/grafana/package-lock.json"
if ! has node || ! has npm; then
    apt_install nodejs npm
fi
proven node node --version
if ! cmp -s "$LOCK" "$FOLDER/installed.json"; then
    mkdir -p "$FOLDER"
    cp "$ROOT/tests/grafana/package.json" "$LOCK" "$FOLDER"
    (cd "$FOLDER" && npm ci --ignore-scripts --no-audit --no-fund --silent)
    cp "$LOCK" "$FOLDER/installed.json" # last: it says that everything is there
fi
proven grafana grep -m1 '"version"' "$FOLDER/node_modules/@grafana/data/package.json"
proven typescript "$FOLDER/node_modules/.bin/tsc" --version
proven esbuild "$FOLDER/node_modules/.bin/esbuild" --version
