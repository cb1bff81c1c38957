#!/usr/bin/env bash
# Helm's engine, and Kubernetes' schemas, in .cache/helm: for `make generate` and the tests marked
# needs_helm. Helm has no release on PyPI; this binding carries its Go SDK, and is held by its hash.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

LOCK=$ROOT/.ci/helm.txt
FOLDER=$ROOT/.cache/helm
UV=$ROOT/.venv/bin/uv
has uv && UV=uv
if ! cmp -s "$LOCK" "$FOLDER/lock"; then
    "$UV" venv -q --clear --python "$ROOT/.venv/bin/python" "$FOLDER"
    "$UV" pip sync -q --require-hashes --python "$FOLDER/bin/python" "$LOCK"
    cp "$LOCK" "$FOLDER/lock" # last: it says that everything is there
fi
proven helm "$FOLDER/bin/python" -c 'import helm_python; print("SDK", helm_python.__version__)'
proven schemas "$FOLDER/bin/kubernetes-validate" --version
