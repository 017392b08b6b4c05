"""Who of five athletes is the fittest? Six measurements disagree, and rank.

    python examples/ranking/run.py

The same tasks go to two panels: one that counts first places alone, and one that
counts whole rankings by instant runoff.
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import steps  # noqa: E402 - it stands beside this folder

GROUPS, SIZE = 4, 5


def main() -> None:
    """Decide by first places, then by runoff; explain and verify."""
    with steps.panel(HERE) as folder:
        tasks = [
            {"id": f"group-{group}", "input": {"athletes": list(range(group, GROUPS * SIZE, 4))}}
            for group in range(GROUPS)
        ]
        steps.write_lines(folder / "tasks.jsonl", tasks)
        runoff = (folder / "quorate.toml").read_text("utf-8")
        first = runoff.replace("ranked-runoff", "weighted-quorum").replace("ledger.db", "first.db")
        (folder / "first-places.toml").write_text(first, "utf-8")
        for panel, out in (("first-places", "first.jsonl"), ("quorate", "runoff.jsonl")):
            steps.quorate(folder, "run", f"{panel}.toml", "tasks.jsonl", "-o", out)
            for line in steps.lines(folder / out):
                print(f"  {line['id']}: {line['status']} {line['consensus'] or ''}")
        seq = steps.lines(folder / "runoff.jsonl")[0]["seq"]
        steps.quorate(folder, "explain", str(seq))
        steps.quorate(folder, "verify", "ledger.db", "--key", "ledger.pub", "--replay")


if __name__ == "__main__":
    main()
