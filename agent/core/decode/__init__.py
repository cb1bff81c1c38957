"""Bytes of a batch become one table for each contract, and rejects with their reasons."""
