#!/usr/bin/env bash
# Chromium and its driver, and the accessibility checker axe-core, for the tests marked needs_browser.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

if ! has chromium || ! has chromedriver; then
    apt_install chromium chromium-driver
fi
AXE=4.14.1
FOLDER="$ROOT/.cache/axe-core"
if [ ! -f "$FOLDER/package/axe.min.js" ]; then
    has npm || apt_install npm
    mkdir -p "$FOLDER"
    (cd "$FOLDER" && tar -xzf "$(npm pack --silent "axe-core@$AXE")")
fi
proven axe-core grep -o "axe v[0-9.]*" "$FOLDER/package/axe.min.js"
proven chromium chromium --version
proven chromedriver chromedriver --version
