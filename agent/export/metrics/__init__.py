"""Prometheus metrics, and closed windows as history."""
