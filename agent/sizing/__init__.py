"""`kpi-agent size`: from a load and measured costs to workers, partitions, memory and disk.

Read `costs` first (what one event, frame, row, window and series costs), then `load` (what comes
in, by KPI), `estimate` (what it needs) and `report` (tables, and values of the Helm chart).
"""
