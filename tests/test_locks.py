"""The lock files: pinned, hashed, nested, and free of addresses."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NAMES = ("base", "demo", "dev", "adapters", "bench", "moe", "fusion-peers", "node", "triton")


def text(name: str) -> str:
    return (ROOT / "requirements" / f"{name}.lock").read_text(encoding="utf-8")


def pins(name: str) -> dict[str, str]:
    """Requirement (name, version and marker) -> the lines that follow it."""
    blocks = re.split(r"^(?=[a-z0-9])", text(name), flags=re.MULTILINE)
    return dict(block.split("\n", 1) for block in blocks if block.strip())


@pytest.mark.parametrize("name", NAMES)
def test_names_no_host_and_no_path(name: str) -> None:
    address = r"\w+://\S*|^\s*--?[a-z-]*(?:index|find)\S*|^\S+ @ .*"
    found = re.findall(address, text(name), re.MULTILINE)
    assert found == []


@pytest.mark.parametrize("name", NAMES)
def test_every_requirement_is_pinned_and_hashed(name: str) -> None:
    assert pins(name)
    for requirement, rest in pins(name).items():
        assert "==" in requirement
        assert "--hash=sha256:" in rest, requirement


@pytest.mark.parametrize(
    ("small", "large"), [("base", "demo"), ("demo", "dev"), ("base", "adapters"), ("dev", "moe")]
)
def test_each_lock_holds_the_one_below_it(small: str, large: str) -> None:
    assert pins(small).keys() <= pins(large).keys()


def test_the_adapters_go_on_top_of_the_rest() -> None:
    versions = {pin.split("==")[0]: set() for pin in pins("dev")}
    for pin in pins("dev"):
        versions[pin.split("==")[0]].add(pin)
    for pin in pins("adapters"):
        assert pin in versions.get(pin.split("==")[0], {pin}), pin


def test_what_is_measured_is_what_is_shipped_but_for_numpy() -> None:
    """The peers that runoffs are measured against want an older NumPy, and nothing else."""
    shipped, measured = pins("base").keys(), pins("bench").keys()
    assert all(pin.startswith("numpy==") for pin in shipped - measured)
    assert any(pin.startswith("numpy==") for pin in measured)


def test_locks_follow_pyproject() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = {
        "base": project["dependencies"],
        "demo": extras["demo"] + extras["build"],
        "dev": extras["dev"],
        "adapters": [*extras["http"], *extras["llm"], *extras["a2a"], *extras["mcp"]]
        + extras["peers"],
        "bench": project["dependencies"] + extras["build"] + extras["bench"],
    }
    for name, requirements in wanted.items():
        locked = {pin.split("==")[0] for pin in pins(name)}
        assert {re.split(r"[\[<>=!~ ]", r)[0] for r in requirements} <= locked
