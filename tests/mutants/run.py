"""Plant defects one at a time and see that the tests named for each find it.

    python tests/mutants/run.py [--sample K --seed TEXT] [--only ID] [--jobs N] [--list]

A copy of the tree is made in a temporary folder; the defects are planted there, and the
checkout is never touched. All tests named are run first without any defect, and have to
pass. A test that hangs has failed. A defect that no test finds fails the run, and so does
one whose tests could not be run to an end: what that shows is not known.
"""

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from queue import SimpleQueue

from catalogue import HERE, ROOT, CatalogueError, check, read

LIMIT = 150.0  # seconds for the tests of one mutant
HUNG = 20  # seconds after which a single test has failed, with a defect or without
JOBS = min(2, os.cpu_count() or 1)
COPIED = ("src", "tests", "conformance", "examples", "docs", "benchmarks", "requirements")
KILLED, SURVIVED, UNDECIDED = "killed", "SURVIVED", "UNDECIDED"
_FOUND, _PASSED = 1, 0  # exit statuses of pytest


def main(arguments=None):
    """Run; 0 if every mutant was killed, 1 if not, 2 if the catalogue does not fit."""
    given = _arguments(arguments)
    try:
        mutants = _chosen(read(), given)
        check(mutants)
    except CatalogueError as error:
        print(f"the catalogue does not fit the code:\n{error}", file=sys.stderr)
        return 2
    if given.list:
        for mutant in mutants:
            print(f"{mutant.id}: {mutant.why} ({mutant.file})")
        return 0
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="quorate-mutants-") as folder:
        trees = [_copied(Path(folder) / str(number)) for number in range(given.jobs)]
        if not _passes_without(trees[0], mutants, given.jobs):
            return 1
        for tree in trees[1:]:
            # With the byte code that the first run has left, which copying keeps valid.
            shutil.rmtree(tree)
            shutil.copytree(trees[0], tree)
        counts = _worked_off(mutants, trees)
    seconds = time.monotonic() - started
    total, killed = len(mutants), counts[KILLED]
    undecided = f", {counts[UNDECIDED]} undecided" if counts[UNDECIDED] else ""
    print(
        f"{seconds:.0f} s: {total} mutants, {killed} killed, {counts[SURVIVED]} survived{undecided}"
    )
    return 0 if killed == total else 1


def _arguments(arguments):
    parser = argparse.ArgumentParser(description="Plant defects and see that tests find them.")
    parser.add_argument("--sample", type=int, metavar="K", help="only K of them, drawn by --seed")
    parser.add_argument("--seed", default="0", metavar="TEXT", help="which K; any text")
    parser.add_argument("--only", action="append", metavar="ID", help="only this one; repeatable")
    parser.add_argument("--jobs", type=int, default=JOBS, help="how many side by side")
    parser.add_argument("--list", action="store_true", help="name them, and run nothing")
    given = parser.parse_args(arguments)
    if given.jobs < 1 or (given.sample is not None and given.sample < 1):
        parser.error("--jobs and --sample are 1 or more")
    return given


def _chosen(mutants, given):
    if given.only:
        known = {mutant.id: mutant for mutant in mutants}
        unknown = [id_ for id_ in given.only if id_ not in known]
        if unknown:
            raise CatalogueError(f"there is no mutant {unknown[0]!r}; --list names them")
        return [known[id_] for id_ in given.only]
    if given.sample is None or given.sample >= len(mutants):
        return mutants
    print(f"{given.sample} of {len(mutants)} mutants, drawn by --seed {given.seed}")
    drawn = random.Random(given.seed).sample(range(len(mutants)), given.sample)
    return [mutants[number] for number in sorted(drawn)]


def _copied(tree):
    """A copy of what tests need, without anything that running left behind."""
    left = shutil.ignore_patterns("__pycache__", "results*", "*.db", ".hypothesis")
    tree.mkdir()
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tree / name, ignore=left)
    for path in ROOT.iterdir():
        if path.is_file() and path.suffix in {"", ".md", ".toml"}:
            shutil.copy2(path, tree / path.name)
    return tree


def _passes_without(tree, mutants, jobs):
    """Run all tests named, without a defect: what fails anyway finds nothing."""
    nodes = sorted({node for mutant in mutants for node in mutant.tests})
    print(f"{len(nodes)} tests without any defect ...", flush=True)
    status, said = _pytest(tree, nodes, LIMIT * 4, ["-n", str(jobs)], write=True)
    if status == _PASSED:
        return True
    print(f"{said}\nthey do not pass without any defect", file=sys.stderr)
    return False


def _worked_off(mutants, trees):
    counts = dict.fromkeys((KILLED, SURVIVED, UNDECIDED), 0)
    free = SimpleQueue()
    for tree in trees:
        free.put(tree)
    live = sys.stdout.isatty()
    with ThreadPoolExecutor(len(trees)) as pool:
        running = {pool.submit(_tried, mutant, free): mutant for mutant in mutants}
        for done, future in enumerate(as_completed(running), 1):
            mutant = running[future]
            verdict, seconds, said = future.result()
            counts[verdict] += 1
            line = f"{done}/{len(mutants)} {verdict} {mutant.id} ({seconds:.1f} s)"
            if verdict != KILLED:
                print(f"\r{line}: {mutant.why} ({mutant.file})\n{said}".rstrip(), flush=True)
            elif live:
                print(f"\r{line:<78.78}", end="", flush=True)
            else:
                print(line, flush=True)
    if live:
        print()
    return counts


def _tried(mutant, free):
    """Plant one mutant in a free tree, and run its tests there."""
    tree = free.get()
    path = tree / mutant.file
    kept, times = path.read_text("utf-8"), path.stat()
    began = time.monotonic()
    try:
        path.write_text(mutant.planted(kept), "utf-8")
        status, said = _pytest(tree, mutant.tests, LIMIT, ["-n", "0", "-x"])
    finally:
        # With its time too, by which the byte code is known to be its own.
        path.write_text(kept, "utf-8")
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        free.put(tree)
    seconds = time.monotonic() - began
    if status == _FOUND:
        return KILLED, seconds, ""
    if status == _PASSED:
        return SURVIVED, seconds, "its tests pass: " + " ".join(mutant.tests)
    how = "did not end in time" if status is None else f"could not be run (status {status})"
    return UNDECIDED, seconds, f"its tests {how}\n{said[-2000:]}"


def _pytest(tree, nodes, limit, options, *, write=False):
    """Run tests in ``tree``; gives pytest's exit status (``None``: too late) and its output."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(tree / "src"), str(HERE)]),
        "PYTHONDONTWRITEBYTECODE": "" if write else "1",
    }
    command = [
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "quick",
        "--no-header", "--tb=short", f"--timeout={HUNG}", *options, *nodes,
    ]  # fmt: skip
    with tempfile.TemporaryFile("w+") as output:
        running = subprocess.Popen(
            command, cwd=tree, env=environment, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            status = running.wait(limit)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            if running.poll() is None:
                os.killpg(running.pid, signal.SIGKILL)
                running.wait()
            _end_what_is_left(tree)
        output.seek(0)
        return status, output.read()


def _end_what_is_left(tree):
    """Kill what tests left behind, as they do where the defect is that nothing ends it.

    Known by the tree in its environment, where the system lists processes as files.
    """
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.fsencode(tree / "src") in (entry / "environ").read_bytes():
                os.kill(int(entry.name), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
