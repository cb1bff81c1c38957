"""A service with private KPIs: not without a secret, at the start and at a reload."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.core.model import metrics
from agent.core.model.plan import Plan
from agent.core.output.privacy import Privacy
from agent.errors import EnvironmentFault
from agent.language.load import load
from agent.service.supervisor import Service
from agent.settings import load_settings

PUBLIC = """
events:
  task: {topic: tasks, time: at, fields: {employee: string}}
kpis:
  tasks:
    from: task
    value: count(*)
    by: [employee]
    window: 1h
"""
PRIVATE = PUBLIC + "    visibility: private\n    person: employee\n"


def rules(folder: Path, text: str) -> Plan:
    (folder / "tasks.yaml").write_text(text)
    return load(folder)


def test_an_agent_with_private_kpis_does_not_start_without_a_secret(tmp_path: Path) -> None:
    plan = rules(tmp_path, PRIVATE)
    with pytest.raises(EnvironmentFault, match="no person_secret") as refused:
        Service(load_settings(), lambda: plan)
    assert "openssl rand -hex 32" in str(refused.value)


def test_it_starts_with_one_from_a_file(tmp_path: Path) -> None:
    plan = rules(tmp_path, PRIVATE)
    file = tmp_path / "secret"
    file.write_text("a secret that is long enough\n")
    service = Service(load_settings(person_secret_file=file), lambda: plan)
    anna = service.state.privacy.dimensions(plan, "tasks", ("anna",))
    assert anna != ("anna",)
    again = Service(load_settings(person_secret="a secret that is long enough"), lambda: plan)
    assert again.state.privacy.dimensions(plan, "tasks", ("anna",)) == anna


async def test_a_reload_that_brings_private_kpis_is_refused_without_a_secret(
    tmp_path: Path,
) -> None:
    rules(tmp_path, PUBLIC)
    service = Service(load_settings(), lambda: load(tmp_path))
    before = service.state.plan
    rules(tmp_path, PRIVATE)
    done, published = await service.reload()
    assert not done
    assert "no person_secret" in published
    assert service.state.plan is before
    reloads = {"result": "failed"}
    registry = service.state.metrics.registry
    assert registry.get_sample_value(metrics.RELOADS, reloads) == 1


@pytest.mark.parametrize("secret", ["", "fifteen letters"])
def test_a_secret_that_could_be_tried_out_is_refused(tmp_path: Path, secret: str) -> None:
    file = tmp_path / "secret"
    file.write_text(secret)
    with pytest.raises(EnvironmentFault) as refused:
        Service(load_settings(person_secret_file=file), lambda: rules(tmp_path, PRIVATE))
    assert "16 characters" in str(refused.value)


def test_a_file_that_is_not_there_is_reported(tmp_path: Path) -> None:
    settings = load_settings(person_secret_file=tmp_path / "nowhere")
    with pytest.raises(EnvironmentFault, match="person_secret_file can't be read"):
        settings.secrets_of("person")


def test_a_file_may_hold_earlier_secrets_below_the_one_in_use(tmp_path: Path) -> None:
    plan = rules(tmp_path, PRIVATE)
    people, links = tmp_path / "people", tmp_path / "links"
    people.write_text("a new secret of people\na secret that is long enough\n")
    links.write_text("a new secret of links\na secret that is long enough\n")
    privacy = Service(
        load_settings(person_secret_file=people, link_secret_file=links), lambda: plan
    ).state.privacy
    before = Privacy("a secret that is long enough")
    assert privacy.pseudonyms("employee", "anna")[1:] == before.pseudonyms("employee", "anna")
    assert privacy.person_tokens("employee", "anna")[1:] == before.person_tokens("employee", "anna")
    people.write_text("a new secret of people\nshort\n")
    with pytest.raises(EnvironmentFault, match="person_secret is shorter"):
        load_settings(person_secret_file=people).secrets_of("person")
