"""How fast and how good: one file a figure, each run by ``python -m benchmarks NAME``.

Seconds depend on the machine; the ratios, measured side by side on the same data and cores, are the figures.
"""
