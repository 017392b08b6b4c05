"""One tester: reads tasks as JSON lines, runs each patch in a process, answers in JSON lines.

    python tester.py NAME

It votes for the first patch that passes all its tests, in the order that its name gives,
and says with what share of its tests the best one passed where none passed all.
"""

import json
import subprocess
import sys

TESTS = {
    "examples": """
assert f([3, 1, 2]) == 2
assert f([5]) == 5
assert f([1, 2, 3, 4]) == 2.5
""",
    "edges": """
assert f([2, 1]) == 1.5
assert f([-1, -2, -3, -4]) == -2.5
try:
    f([])
except ValueError:
    pass
else:
    raise AssertionError("an empty list has no median")
""",
    "random": """
import random, statistics
chosen = random.Random(1)
for size in range(1, 40):
    values = [chosen.randint(-9, 9) for _ in range(size)]
    assert f(list(values)) == statistics.median(values)
""",
    "purity": """
values = [3, 1, 2, 9]
f(values)
assert values == [3, 1, 2, 9], "it changed what it was given"
assert f(values) == 2.5
""",
    "hasty": """
assert f([3, 1, 2]) == 2
""",
}
SECONDS = 2.0


def passes(source: str, name: str, tests: str) -> bool:
    """Run one patch with its tests in a process of its own; one that hangs has failed."""
    code = f"{source}\nf = {name}\n{tests}"
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-c", code], capture_output=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def answer(task: dict, tests: str) -> dict:
    """Vote for the first patch that passes."""
    for patch in task["patches"]:
        if passes(patch["source"], task["function"], tests):
            return {"payload": patch["source"], "confidence": 1}
    return {"payload": None, "confidence": 1}


def main() -> None:
    """Answer one line for each line."""
    tests = TESTS[sys.argv[1]]
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps({"id": asked["id"], **answer(asked["input"], tests)}), flush=True)


if __name__ == "__main__":
    main()
