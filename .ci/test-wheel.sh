#!/usr/bin/env bash
# Builds the wheel and uses it as somebody without a checkout does: wholly on the first Python here
# from 3.11 on; on each other, the rules and the demo.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

UV=$ROOT/.venv/bin/uv
has uv && UV=uv
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT

# The interpreters of one minor version: those on PATH, and pyenv's, whose shims may not run.
candidates() {
    type -ap "python3.$1" || true
    compgen -G "${PYENV_ROOT:-$HOME/.pyenv}/versions/3.$1.*/bin/python3" || true
}

python_of() {
    local python
    for python in $(candidates "$1"); do
        if "$python" -c "import sys; sys.exit(sys.version_info[:2] != (3, $1))" 2>/dev/null; then
            echo "$python"
            return
        fi
    done
}

use() {
    local python=$1 home=$WORK/$2
    "$UV" venv -q --python "$python" "$home/venv"
    "$UV" pip install -q --python "$home/venv/bin/python" "$WORK"/kpi_agent-*.whl
    cd "$home"
    local agent=$home/venv/bin/kpi-agent
    "$agent" demo --copy company >/dev/null
    (cd company && "$agent" check)
    if [ "$used" = 0 ]; then
        (cd company && "$agent" test)
        "$agent" demo --retail --copy retail >/dev/null
        (cd retail && "$agent" check && "$agent" replay retail-invoices.ndjson.gz --format json | tail -n 1)
    fi
    "$agent" demo --seconds 15 --port 0 >demo.txt 2>&1 || fail "the demo failed on $python" "$(cat demo.txt)"
    grep -q "staged:" demo.txt || fail "the demo shows no event on $python" "$(cat demo.txt)"
}

cd "$ROOT"
"$UV" build -q --wheel --out-dir "$WORK"
ls -l "$WORK"
used=0
for minor in 11 12 13; do
    python=$(python_of "$minor")
    if [ -z "$python" ]; then
        say "no Python 3.$minor here"
        continue
    fi
    say "the wheel on $("$python" --version)"
    use "$python" "$minor"
    used=$((used + 1))
done
[ "$used" -gt 0 ] || fail "no Python to try the wheel on"
