"""The agent on Kafka: ingest, the Faust app, topics, and an embedded broker."""
