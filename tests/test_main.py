"""What holds for a command as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys

HOSTILE_RECORD = """
import sys
from contextlib import suppress
from agent.__main__ import main
from agent.core.decode.avro_format import AvroColumns
from agent.core.decode.avro_schema import parse_schema
from agent.core.decode.codec import BodyError

sys.argv = ["kpi-agent", "--version"]
with suppress(SystemExit):
    main()
fields = '[{"name": "id", "type": "string"}]'
schema = parse_schema('{"type": "record", "name": "sale", "fields": ' + fields + "}")
try:
    AvroColumns(schema).read([b"\x7e"], ["c0"])
except BodyError:
    sys.exit(3)
"""


def test_a_record_that_polars_panics_on_writes_no_backtrace() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", HOSTILE_RECORD],
        env=os.environ | {"RUST_BACKTRACE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 3, ran.stderr
    assert "panicked at" in ran.stderr
    assert "stack backtrace" not in ran.stderr
