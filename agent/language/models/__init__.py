"""The language of the rules as pydantic models."""
