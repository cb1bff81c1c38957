"""Files for other systems, made from the plan: Prometheus, Alertmanager, Grafana, producers.

In: a plan. Out: files by name (`files` writes those that differ). Read `names` first: how queries
select the series of the agent. Then what you need:

- Prometheus: `prometheus` (rules and scrape configuration), `agent_alerts` (alerts over the agent
  itself), `data_alerts` and `producer_alerts` (over records), `templates` (texts of rules in
  Prometheus' language)
- Alertmanager: `alertmanager` (routes, receivers), `inhibition`
- Grafana: `grafana` (which boards there are), `board_kpi`, `board_strategy` and `board_agent`, made
  of `panels` in a `layout`, over a `time_range`
- producers: `contracts` (JSON Schemas and an AsyncAPI document)
"""
