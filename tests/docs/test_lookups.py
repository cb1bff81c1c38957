"""The commands of the page on lookups run, and print what it shows."""

from pathlib import Path

from .shell import walk

PAGE = (Path(__file__).parents[2] / "docs" / "rules" / "lookups.md").read_text()


def test_the_examples_of_the_page_print_what_it_shows(tmp_path: Path) -> None:
    assert walk(PAGE, tmp_path) == 3
