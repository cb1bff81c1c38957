"""`anomaly()`: how unusual a window is for its series.

Read `score` (the feature, and its reason in words), then `detector` (what it learns from window to
window). The detector removes the season that `profiles` learn, and `tail_model` turns deviations
into probabilities.
"""
