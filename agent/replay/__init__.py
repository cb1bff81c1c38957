"""`kpi-agent replay`: files of events through the core, without Kafka."""
