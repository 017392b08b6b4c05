"""Five classifiers decide 120 images that none of them has seen.

python examples/classifiers/run.py
"""

from __future__ import annotations

import sys
from pathlib import Path

from sklearn.datasets import load_digits

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import steps  # noqa: E402 - it stands beside this folder

FIRST, TASKS = 900, 120


def main() -> None:
    """Decide, count, verify."""
    pixels, digits = load_digits(return_X_y=True)
    images = range(FIRST, FIRST + TASKS)
    truth = {f"image-{i}": int(digits[i]) for i in images}
    with steps.panel(HERE) as folder:
        tasks = [{"id": f"image-{i}", "input": {"pixels": pixels[i].tolist()}} for i in images]
        steps.write_lines(folder / "tasks.jsonl", tasks)
        steps.quorate(folder, "run", "quorate.toml", "tasks.jsonl", "-o", "decisions.jsonl")
        decisions = steps.lines(folder / "decisions.jsonl")
        print(f"the panel: {steps.count(decisions, truth)}")
        doubtful = min(decisions, key=lambda line: line["support"])
        print(f"in most doubt: {doubtful['id']}, which shows a {truth[doubtful['id']]}")
        steps.quorate(folder, "explain", str(doubtful["seq"]))
        steps.quorate(folder, "verify", "ledger.db", "--key", "ledger.pub", "--replay")


if __name__ == "__main__":
    main()
