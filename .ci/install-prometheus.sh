#!/usr/bin/env bash
# Prometheus, promtool, Alertmanager and amtool, for the tests marked needs_prometheus.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

if ! has prometheus || ! has promtool || ! has prometheus-alertmanager || ! has amtool; then
    apt_install prometheus prometheus-alertmanager
fi
proven prometheus prometheus --version
proven promtool promtool --version
proven alertmanager prometheus-alertmanager --version
proven amtool amtool --version
