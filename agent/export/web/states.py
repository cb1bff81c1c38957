"""The words for states of KPIs and objectives, also for the board's scripts, as a generated
module."""

from __future__ import annotations

import json

STATES = {
    "missed": "Missed",
    "at_risk": "At risk",
    "no_data": "No data",
    "met": "On target",
    "none": "No target",
}
"""The words of each state; the worst first."""

_MARKS = {"missed": "✕ ", "at_risk": "▲ ", "no_data": "○ ", "met": "✓ ", "none": ""}

MARKED = {state: f"{_MARKS[state]}{words.lower()}" for state, words in STATES.items()}
"""The same with a mark, for people who can't tell colours apart."""

SCRIPT = f"export const STATES = {json.dumps(STATES)};\n"
"""`/static/states.js`, a JavaScript module."""
