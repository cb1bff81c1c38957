"""Commands that are more than a few lines: one module each, with its options and what it runs."""
