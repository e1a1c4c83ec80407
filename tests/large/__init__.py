"""Models at their true size with random weights, in the layout of their download, through the real command lines.

`make test-large` runs them; they are no part of `make test`. Each adds a line to results/large/records.jsonl.
"""
