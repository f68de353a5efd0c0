"""Ours beside the AutoML libraries that a user would try: same splits, columns, seconds and cores, each in its own environment.

`make bench-peers`, or `PYTHONPATH=benchmarks python -m peers --help`. Outside CI; resumable.
"""
