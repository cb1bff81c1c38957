"""What a rule can ask of a series' history: one module a kind, each a pure function of the windows
that have closed. `look` says what they see; the formulas and their sources stand where they are
computed.
"""
