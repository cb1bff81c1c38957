"""Text that is safe for a terminal."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.core.model.printable import printable, printable_lines


def test_control_characters_are_visible_and_all_others_stay() -> None:
    assert printable("\x1b[31mé\x00\x7f\x9b \u202e\ud800 [/x]") == (
        "\\x1b[31mé\\x00\\x7f\\x9b \\u202e\\ud800 [/x]"
    )
    assert printable("a\nb\r\tc") == "a\\nb\\r\\tc"
    assert printable_lines("a\x07\nb") == "a\\x07\nb"


@given(st.text(st.characters()))
def test_any_text_can_be_written_in_one_line(text: str) -> None:
    made = printable(text)
    assert made.encode().decode() == made
    assert made.splitlines() == ([made] if made else [])
    assert printable(made) == made
