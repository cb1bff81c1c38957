"""`anomaly()`: how unusual a window is for its series.

Read `score` (the feature), then `detector` (what it learns from window to window), which compares
with `profiles` of the hours and days, and whose distances `tail_model` turns into odds; `reason`
words the answer.
"""
