"""What leaves the core, as messages, labels and sentences."""
