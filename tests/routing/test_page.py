"""The pages about routing and fusion say what is true: their code runs, their names are there."""

import re
from pathlib import Path

import pytest

from quorate import fusion, routing
from quorate.fusion.names import RULES, find_rule
from quorate.routing import compiled
from quorate.routing.rules_batch import MAX_REPLICAS

DOCS = Path(__file__).parents[2] / "docs"
ROUTING = (DOCS / "routing.md").read_text(encoding="utf-8")
FUSION = (DOCS / "fusion.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("text", [ROUTING, FUSION], ids=["routing", "fusion"])
def test_the_blocks_of_the_page_run_in_order(text):
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert blocks
    names = {}
    for block in blocks:
        exec(compile(block, "a block of a page", "exec"), names)  # noqa: S102 - what is tested


def test_every_public_name_of_arrays_is_told():
    told = {name for name in routing._HOMES if name[0].islower()}
    for name in told:
        assert name in ROUTING, name


def test_the_bounds_told_are_the_bounds():
    assert f"more than {MAX_REPLICAS} replicas" in ROUTING
    assert f"from {compiled.LEAST_VOTES:,} votes on" in ROUTING
    assert f"from {compiled.LEAST_LOGITS:,} logits on" in ROUTING
    assert f"2 to {compiled.MAX_REPLICAS} replicas" in ROUTING


def test_pages_that_are_linked_are_there():
    assert "(routing.md" in FUSION
    for text in (ROUTING, FUSION):
        for target in re.findall(r"\]\(([^)#]+)", text):
            assert (DOCS / target).exists(), target


def test_the_table_of_names_is_that_of_the_code():
    rows = dict(re.findall(r"^\| `([\w+]+)` \| `(\w+)\(", FUSION, re.MULTILINE))
    assert rows.pop("nnm+RULE") == "nearest_neighbour_mixing"
    assert rows.pop("bucketing+RULE") == "bucketing"
    assert set(rows) == set(RULES) - {"mean"}
    for rule, function in rows.items():
        assert callable(getattr(fusion, function))
        assert find_rule(function).name == rule
