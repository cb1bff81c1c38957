"""`anomaly()`: how unusual a window is for its series."""
