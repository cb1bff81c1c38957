"""What remote write sends of a window is what `/metrics` and the history file show of it."""

from __future__ import annotations

from msgspec import structs
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from agent.core.model.kpis import Target
from agent.core.model.results import Emitted, TargetState, TargetStatus, WindowValue
from agent.core.output import messages as encode
from agent.core.output.value_messages import read_value
from agent.export.metrics.history_file import History
from agent.export.remote_write.value_samples import JOB, SampleMaker
from tests.export.invented import COMPANY, NOW_MS

KPI = COMPANY.kpis["response_time"]
EXTERNAL = {"environment": "prod"}
WINDOW = WindowValue("response_time", ("emea",), NOW_MS - 300_000, NOW_MS, 130.5, 9)
STATUS = TargetStatus(
    WINDOW, TargetState.AT_RISK, TargetState.MET, 1.84, Target(at_most=240, warn_at_most=120)
)


def sent(*messages: bytes) -> set[tuple[tuple[tuple[str, str], ...], int, float]]:
    maker = SampleMaker(COMPANY, EXTERNAL)
    return {tuple(s) for m in messages for s in maker.samples(read_value(m)) or ()}


def written(emitted: Emitted) -> set[tuple[tuple[tuple[str, str], ...], int, float]]:
    """The same by the history file, without the states of alerts."""
    with History(COMPANY, external=EXTERNAL) as history:
        history.add(emitted)
        text = b"".join(history.chunks()).decode()
    return {
        (
            tuple(sorted({"__name__": s.name, **s.labels, **dict([JOB])}.items())),
            round(float(s.timestamp) * 1000),
            s.value,
        )
        for family in text_string_to_metric_families(text)
        for s in family.samples
        if s.name != "kpi_rule_state"
    }


def test_the_samples_of_a_window_are_those_of_the_history_file() -> None:
    in_maintenance = structs.replace(WINDOW, maintenance="stocktaking", incomplete=True)
    for window in (WINDOW, in_maintenance, structs.replace(WINDOW, value=None)):
        status = structs.replace(STATUS, window=window)
        made = sent(
            encode.dumps(encode.window_json(KPI, window)),
            encode.dumps(encode.target_json(KPI, status)),
        )
        assert made == written(Emitted((window,), (status,)))
        assert len(made) >= 4


def test_a_message_reads_as_what_it_was_written_of() -> None:
    status = structs.replace(STATUS, window=structs.replace(WINDOW, end_ms=NOW_MS + 7))
    message = read_value(encode.dumps(encode.target_json(KPI, status)))
    assert message.names == KPI.by
    assert message.window == status.window
    assert message.status == status


def test_a_kpi_that_is_gone_or_has_other_dimensions_has_no_samples() -> None:
    maker = SampleMaker(COMPANY, EXTERNAL)
    body = encode.dumps(encode.window_json(KPI, WINDOW))
    assert maker.samples(read_value(body.replace(b"response_time", b"gone"))) is None
    assert maker.samples(read_value(body.replace(b"region", b"country"))) is None
