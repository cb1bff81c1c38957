"""Partial aggregates: how rows fold, how partials merge, and how values come out of them."""
