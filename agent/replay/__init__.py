"""`kpi-agent replay`: files of events through the core, without Kafka.

In: a plan and files. Out: closed windows, alerts, and the outcomes of the records. Read
`event_files` (records of a file, however it is compressed), `record_forms` (records with key,
headers and timestamp), `runner`, then `report` (a table, JSON or CSV).
"""
