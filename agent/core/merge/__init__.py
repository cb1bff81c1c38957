"""Stage 2: frames become closed windows, in event-time order."""
