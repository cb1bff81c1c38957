"""The page about the installation does what it says."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from tests.conftest import ROOT
from tests.docs.shell import walk

PAGE = (ROOT / "docs" / "install.md").read_text()


def test_the_page_runs_and_prints_what_it_shows(tmp_path: Path) -> None:
    assert walk(PAGE, tmp_path) == 1


def test_the_page_names_what_has_no_wheel() -> None:
    """By the wheels that the lock file lists: a dependency that gets or loses one changes them."""
    for platform, tags in PLATFORMS.items():
        [row] = re.findall(rf"^\| {re.escape(platform)} \|(.*)\|(.*)\|$", PAGE, re.MULTILINE)
        before = set(re.findall(r"`([\w-]+)`", row[0]))
        newest = set(re.findall(r"`([\w-]+)`", row[1]))
        newest |= before if "those and" in row[1] else set()
        for version in ("311", "312", "313"):
            assert without_wheel(version, tags) == before, (platform, version)
        assert without_wheel("314", tags) == newest, platform


PLATFORMS = {
    "Linux x86-64 (glibc)": r"manylinux.*x86_64",
    "macOS": r"macosx.*(arm64|universal2)",
    "Linux arm64 (glibc)": r"manylinux.*aarch64",
    "Linux with musl (Alpine)": r"musllinux.*x86_64",
    "Windows": r"win_amd64",
}


def without_wheel(version: str, platform: str) -> set[str]:
    """The packages that the agent needs, and that no wheel in the lock file fits."""
    packages = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    needed, waiting = set(), ["kpi-agent", "cramjam"]
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            for package in packages:
                if package["name"] == name:
                    waiting += [other["name"] for other in package.get("dependencies", ())]
    fitting = {
        package["name"]
        for package in packages
        for wheel in package.get("wheels", ())
        if fits(wheel["url"].rsplit("/", 1)[-1], version, platform)
    }
    return needed - fitting - {"kpi-agent"}


def fits(wheel: str, version: str, platform: str) -> bool:
    """Whether a wheel's name (PEP 427) fits a version of CPython and a platform."""
    pythons, abi, places = wheel.removesuffix(".whl").split("-")[-3:]
    if places != "any" and not re.search(platform, places):
        return False
    for python in pythons.split("."):
        stable = abi == "abi3" and python.startswith("cp3") and int(python[2:]) <= int(version)
        if stable or python == f"cp{version}" or (python == "py3" and abi == "none"):
            return True
    return False
