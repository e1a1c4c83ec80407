"""The performance goals as ratios measured side by side: `python -m tests.benchmarks.bench_<name>`."""
