"""Which patch may be merged? Testers run them, and the wrong one is voted down.

    python examples/patches/run.py

The first coder is quick and wrong on lists of even length; the second and the third mean
the same and write it differently; the fourth never returns.
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import steps  # noqa: E402 - it stands beside this folder

WRONG = """def median(values):
    values.sort()
    return values[len(values) // 2]
"""
RIGHT = """def median(values):
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2
"""
RIGHT_TOO = """def median( values ):
    if (not values): raise ValueError('no values')
    ordered = sorted(values)   # a copy
    middle = len(ordered)//2
    if len(ordered)%2: return ordered[middle]
    return (ordered[middle-1] + ordered[middle])/2
"""
ENDLESS = """import time
def median(values):
    while True:
        time.sleep(1)
"""


def main() -> None:
    """Decide which patch; then what happens where none is right."""
    patches = [
        {"coder": coder, "source": source}
        for coder, source in (("a", WRONG), ("d", ENDLESS), ("b", RIGHT), ("c", RIGHT_TOO))
    ]
    with steps.panel(HERE) as folder:
        tasks = [
            {"id": "median", "input": {"function": "median", "patches": patches}},
            {"id": "median-b-last", "input": {"function": "median", "patches": patches[::-1]}},
            {"id": "only-wrong", "input": {"function": "median", "patches": patches[:1]}},
        ]
        steps.write_lines(folder / "tasks.jsonl", tasks)
        steps.quorate(folder, "run", "quorate.toml", "tasks.jsonl", "-o", "decisions.jsonl")
        names = {WRONG: "the wrong one", RIGHT: "coder b's", RIGHT_TOO: "coder c's"}
        for line in steps.lines(folder / "decisions.jsonl"):
            said = names.get(line["consensus"], "no patch at all")
            print(f"  {line['id']}: {line['status']} {said}, over {line['dissenting']}")
        steps.quorate(folder, "explain", "1")
        steps.quorate(folder, "verify", "ledger.db", "--key", "ledger.pub", "--replay")


if __name__ == "__main__":
    main()
