"""Judging: metrics with intervals, calibration, baselines, the words that mattered, and the report."""
