"""The package as a newcomer meets it: what importing loads, and the README's code."""

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import quorate

README = Path(__file__).parents[1] / "README.md"
HEAVY = {
    "numpy", "pydantic", "pydantic_core", "typer", "click", "rich", "cryptography", "orjson",
    "rfc8785", "sqlite3", "asyncio", "http", "socket", "ssl", "urllib.request", "starlette",
    "fastapi", "uvicorn", "httpx", "aiohttp", "mcp", "sklearn", "scipy",
}  # fmt: skip


def loaded_by(statement):
    code = f"import sys; before = set(sys.modules); {statement}; print(*set(sys.modules) - before)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stdout.split())


def test_importing_the_package_loads_nothing_else():
    assert loaded_by("import quorate") & HEAVY == set()
    assert {n for n in loaded_by("import quorate") if n.startswith("quorate")} == {"quorate"}


@pytest.mark.parametrize(
    "statement",
    [
        "import quorate; quorate.Arbiter; quorate.Proposal",
        "import quorate; quorate.BFTRouter",
        "import quorate; quorate.Ledger; quorate.verify",
        "import quorate.cli",
    ],
)
def test_what_is_used_loads_no_numbers_web_or_command_line(statement):
    heavy = HEAVY - {"cryptography", "orjson", "rfc8785", "sqlite3", "asyncio", "socket", "ssl"}
    assert loaded_by(statement) & heavy == set()


@pytest.mark.parametrize("name", quorate.__all__)
def test_every_public_name_comes_from_its_home(name):
    home = import_module(quorate._HOMES[name])
    assert getattr(quorate, name) is getattr(home, name)
    assert name in home.__all__ if hasattr(home, "__all__") else True
    assert getattr(quorate, name).__doc__


def test_the_public_names_are_those_that_have_a_home():
    assert sorted(quorate._HOMES) == sorted(quorate.__all__) == sorted(set(quorate.__all__))
    assert set(quorate.__all__) <= set(dir(quorate))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'quorate' has no attribute 'Abriter'"):
        quorate.Abriter  # noqa: B018 - looking is what fails
    with pytest.raises(ImportError):
        exec("from quorate import Abriter")  # noqa: S102


def test_the_version_is_that_of_the_distribution():
    from importlib.metadata import version

    assert version("quorate") == quorate.__version__


def readme_blocks():
    return re.findall(r"^```python\n(.*?)^```", README.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def test_the_readmes_python_runs(tmp_path):
    # What needs PyTorch runs among the tests of the gate.
    blocks = [block for block in readme_blocks() if "quorate.moe" not in block]
    assert len(blocks) > 3
    for number, block in enumerate(blocks):
        folder = tmp_path / str(number)
        folder.mkdir()
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", block],
            cwd=folder, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, f"{block}\n{done.stderr}"
