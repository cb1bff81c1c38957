"""The rules as committed in a git revision, for a comparison with those in the working tree."""

from __future__ import annotations

import io
import subprocess
import tarfile
import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from agent.core.model.plan import Plan
from agent.errors import EnvironmentFault, KpiAgentError
from agent.language.load import load
from agent.language.problems import SpecError


def load_revision(rules: Path, revision: str) -> Plan:
    """The plan of a folder (or file) of rules as committed in a revision.

    Raises EnvironmentFault where git or the revision is not there; KpiAgentError where the rules
    are not; SpecError, whose problems name `REVISION:FILE`, where the rules of the revision are
    not valid.
    """
    folder, name = (rules, ".") if rules.is_dir() else (rules.parent, rules.name)
    if revision.startswith("-"):
        raise EnvironmentFault(f"{revision} is an option, not a revision")
    if not folder.is_dir():
        raise KpiAgentError(f"{rules}: no such file or folder")
    archived = _git(folder, "archive", "--format=tar", revision, "--", name)
    with tempfile.TemporaryDirectory(prefix="kpi-agent-") as unpacked:
        with tarfile.open(fileobj=io.BytesIO(archived)) as archive:
            archive.extractall(unpacked, filter="data")
        try:
            return load(Path(unpacked) / name)
        except SpecError as error:
            raise SpecError(
                [
                    replace(p, file=_display_name(p.file, Path(unpacked), folder, revision))
                    for p in error.problems
                ]
            ) from None


def _display_name(file: str, unpacked: Path, folder: Path, revision: str) -> str:
    """`REVISION:FILE` for a file of the unpacked archive."""
    with suppress(ValueError):
        file = str(folder / Path(file).relative_to(unpacked))
    return f"{revision}:{file}"


def _git(folder: Path, *arguments: str) -> bytes:
    try:
        done = subprocess.run(  # noqa: S603  git itself validates the revision
            ["git", "-C", str(folder), *arguments],  # noqa: S607
            capture_output=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise EnvironmentFault("git is not installed; name two folders instead") from error
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip()
        raise EnvironmentFault(
            f"git does not give {arguments[2]} of {folder}: {reason}",
            "Name a folder of rules that exists, or a revision of the repository that "
            "the rules are in.",
        )
    return done.stdout
