"""`kpi-agent`, also as `python -m agent`."""

from __future__ import annotations

import gc
import os
import sys

from agent import cli


def main() -> int:
    """Run a command as a process of its own; the exit code."""
    # Imports make hundreds of thousands of objects that stay. With Python's own threshold of 700,
    # a tenth of the start of `check` is collections that find nothing.
    gc.set_threshold(50_000, 20, 50)
    # polars panics on some records that are not what their Avro schema says. They are rejected; a
    # backtrace, as some systems ask of all Rust code, would be a page of the log for each.
    os.environ["RUST_BACKTRACE"] = "0"
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
