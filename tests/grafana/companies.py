"""What the boards of these tests show: an invented company, and one KPI of two hundred series."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

from agent.core.model.plan import Plan
from agent.export.agent_state import AgentState
from agent.generate.grafana import dashboards
from tests.export.invented import company_state
from tests.export.many import many_series
from tests.generate.plans import contract
from tests.grafana.answers import Json

ADDRESS = "https://kpis.example.org"


def company() -> tuple[AgentState, Mapping[str, Json]]:
    """A running agent in a bad quarter of an hour, and the boards of its rules, by file name."""
    state = company_state()
    return state, boards(state.rules.plan)


def chain_of_shops() -> tuple[AgentState, Mapping[str, Json]]:
    """The same of an agent that holds two KPIs of two hundred series each, with alerts on many."""
    state = many_series(kpis=2, series=200, firing=120)
    return state, boards(state.rules.plan)


def boards(plan: Plan) -> Mapping[str, Json]:
    """Boards of a plan that declares only what the exports look at."""
    kpis = {
        name: replace(kpi, inputs=tuple(i for i in kpi.inputs if i in plan.kpis))
        for name, kpi in plan.kpis.items()
    }
    whole = replace(plan, kpis=kpis, contracts={"event": contract("event", "events")})
    return {name: json.loads(text) for name, text in dashboards(whole, address=ADDRESS).items()}
