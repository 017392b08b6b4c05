"""Whether a process lives."""

import os
import time
from pathlib import Path


def is_running(pid: int) -> bool:
    """Whether a process of that number is there; one that nobody reaped is."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until(condition, seconds: float = 60.0) -> bool:
    """Wait for something that takes moments."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def is_gone(pid: int) -> bool:
    """Wait until a process is dead and reaped."""
    return wait_until(lambda: not is_running(pid))


def state(pid):
    """The state of a process; where nobody reaps orphans, a dead one stays as Z."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"
