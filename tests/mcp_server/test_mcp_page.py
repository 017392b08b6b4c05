"""The page about the MCP server says what is true: its bounds, shapes and commands."""

import json
import re
from pathlib import Path

from quorate.mcp import bounds
from quorate.mcp.models import AbsenceGiven, ProposalGiven, VoteGiven
from quorate.mcp.scopes import SCOPES

TEXT = (Path(__file__).parents[2] / "docs" / "mcp.md").read_text(encoding="utf-8")


def test_the_bounds_told_are_the_bounds():
    told = re.findall(r"^\| `([A-Z_]+)` \((\d+)\) \|", TEXT, re.MULTILINE)
    assert {name for name, _ in told} == {
        "CONNECTIONS", "HEADER_SECONDS", "SHARE", "WRITE_SECONDS", "SESSIONS", "CLIENT_SESSIONS",
        "SESSION_SECONDS", "DEPTH", "NODES", "CODE_CHARACTERS",
    }  # fmt: skip
    assert {name: float(value) for name, value in told} == {
        name: getattr(bounds, name) for name, _ in told
    }


def test_the_shapes_told_can_be_given():
    shapes = dict(re.findall(r'^    "(proposals|absent|votes)": +(\[.*\])$', TEXT, re.MULTILINE))
    models = {"proposals": ProposalGiven, "absent": AbsenceGiven, "votes": VoteGiven}
    assert shapes.keys() == models.keys()
    for name, model in models.items():
        (one,) = json.loads(shapes[name])
        assert model.model_validate(one).model_dump(exclude_unset=True) == one


def test_every_scope_is_told():
    for scope in SCOPES:
        assert f"| `{scope}` |" in TEXT
    assert "--out laptop.token" in TEXT
