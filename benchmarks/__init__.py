"""How fast the agent is, and how it compares: `docs/benchmarks.md` says how to run these."""
