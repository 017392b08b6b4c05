"""What Quorate costs, beside what the machine allows; run with ``python -m benchmarks``."""
