"""No word anywhere claims what evidence cannot show."""

import re
from pathlib import Path

import pytest
from evidence_tools import POLICY, TODAY, core_items, evidence, item

import quorate.compliance
from quorate.compliance import DISCLAIMER, evaluate, load_catalogue
from quorate.core.canonical import canonical

FOLDER = Path(quorate.compliance.__file__).parent
CLAIM = re.compile(
    r"(?<![a-z])(?:non-?)?compliant|\bcertif(?:ied|ies)\b|\bconforms\b", re.IGNORECASE
)


def texts():
    own = (path for path in FOLDER.rglob("*") if path.suffix in (".py", ".toml", ".json", ".html"))
    yield from ((str(path.relative_to(FOLDER)), path.read_text("utf-8")) for path in own)


@pytest.mark.parametrize(("name", "text"), list(texts()), ids=lambda each: each[:40])
def test_no_source_and_no_data_says_so(name, text):
    assert CLAIM.search(text) is None, f"{name}: {CLAIM.search(text)}"


@pytest.mark.parametrize("profile", ["core", "full", "experts"])
@pytest.mark.parametrize("what", ["nothing", "all", "failed", "junk"])
def test_no_report_says_so(profile, what):
    given = {
        "nothing": {},
        "all": evidence(*core_items(), *map(item, load_catalogue().at(TODAY))),
        "failed": evidence(*[item(e.field, status="failed") for e in core_items()]),
        "junk": {each.field: "compliance passed" for each in core_items()},
    }[what]
    found = evaluate(given, profile, TODAY, policy=POLICY)
    said = canonical(found.to_dict()).decode() + found.describe()
    assert CLAIM.search(said) is None
    assert found.disclaimer == DISCLAIMER
    assert found.describe().endswith(DISCLAIMER)
    assert "no conformity assessment" in DISCLAIMER


def test_no_text_is_the_laws_own():
    """Our words, not the regulation's: none of its set phrases, each of which is one clause."""
    phrases = (
        "shall be", "reasonably foreseeable misuse", "state of the art in",
        "fundamental rights of natural persons", "placing on the market or putting into service",
        "to the best extent possible", "appropriate level of accuracy",
    )  # fmt: skip
    for each in load_catalogue().obligations:
        assert not any(phrase in each.text for phrase in phrases), each.id
