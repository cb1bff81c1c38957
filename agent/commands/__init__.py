"""The commands of `kpi-agent`: one module each, with ABOUT, EXAMPLES, arguments() and run().

In: parsed options. Out: text on standard output, and an exit code. What a command needs is imported
in run(), so that `--help` and `check` do not wait for Kafka. `common` has what several share,
`parser` the whole command line.
"""
