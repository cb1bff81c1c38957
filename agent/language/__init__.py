"""The rules as people write them: YAML with positions, validated, compiled to a plan."""
