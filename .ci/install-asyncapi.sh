#!/usr/bin/env bash
# AsyncAPI's own JSON Schemas, from npm, for the tests marked needs_asyncapi.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

VERSION=6.11.1
FOLDER="$ROOT/.cache/asyncapi"
SCHEMA="$FOLDER/package/schemas/3.0.0.json"
if [ ! -f "$SCHEMA" ]; then
    has npm || apt_install npm
    mkdir -p "$FOLDER"
    (cd "$FOLDER" && tar -xzf "$(npm pack --silent "@asyncapi/specs@$VERSION")")
fi
proven asyncapi grep -o '"title": "AsyncAPI [^"]*"' "$SCHEMA"
