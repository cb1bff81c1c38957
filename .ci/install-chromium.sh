#!/usr/bin/env bash
# Chromium and its driver, for the tests marked needs_browser.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

if ! has chromium || ! has chromedriver; then
    apt_install chromium chromium-driver
fi
proven chromium chromium --version
proven chromedriver chromedriver --version
