#!/usr/bin/env bash
# checkov, which holds manifests against rules of safety, for the tests marked needs_checkov.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

VERSION=3.3.30
FOLDER=$ROOT/.cache/checkov
UV=$ROOT/.venv/bin/uv
has uv && UV=uv
if [ "$(cat "$FOLDER/version" 2>/dev/null)" != "$VERSION" ]; then
    "$UV" venv -q --clear --python "$ROOT/.venv/bin/python" "$FOLDER"
    "$UV" pip install -q --python "$FOLDER/bin/python" "checkov==$VERSION"
    echo "$VERSION" >"$FOLDER/version"
fi
proven checkov "$FOLDER/bin/checkov" --version
