"""Measurements, each one command: `python -m benchmarks.quality`, `python -m benchmarks.speed`. Results: results/."""
