"""No card takes long to read, whoever wrote it, and for whatever purpose."""

import json
import subprocess
import sys

import pytest
from card_tools import FLOW, FULL_0_3, changed, small

from quorate.cards import bounds, lint
from quorate.cards.hints import near
from quorate.cards.reading import read_card

# Reads the card on its standard input, and says by which rules it is wrong.
READ = """
import json, sys
from quorate.cards.reading import read_card
print(json.dumps([[p.path, p.rule] for p in read_card(sys.stdin.read()).errors]))
"""


def errors_of(card):
    """Its errors, read in a process of its own: a reader that hangs is one that can be ended."""
    done = subprocess.run(
        [sys.executable, "-c", READ],
        input=json.dumps(card),
        capture_output=True,
        text=True,
        timeout=15,
        check=True,
    )
    return json.loads(done.stdout)


# Each once took a time that doubles with every few of its characters, or worse.
MODES = [
    ("a/b" + " ;a" * 170)[:512],
    "a/b" + " ;a" * 169 + ";",
    "a/b" + " ;a" * 40 + ";",
    "a/b;" + " " * 508,
    "a/b" + ";a=b" * 127 + ";",
    "a/b" + ";a=a=a" * 80,
    "a/b" + ' ;a="' * 99,
    'a/b;a="' + '\\"' * 252,
    "a" * 512,
]


def test_media_types_that_are_none_are_refused_at_once():
    wrong = errors_of(small(defaultInputModes=MODES))
    assert wrong == [[f"$.defaultInputModes[{place}]", "media-type"] for place in range(len(MODES))]
    assert max(map(len, MODES)) == 512


@pytest.mark.parametrize(
    "mode",
    [
        "text/html; charset=utf-8", "text/html;charset=utf-8", "text/html \t; \tcharset=utf-8",
        'multipart/related; boundary="a; b"; start="<\\"1\\">"', "text/*", "*/*",
        "application/vnd.a+json;v=1;q=0.5", "a/b" + ";a=b" * 127, 'a/b;a=""',
    ],
)  # fmt: skip
def test_media_types_with_parameters_are_taken(mode):
    assert read_card(small(defaultInputModes=[mode])).problems == ()


@pytest.mark.parametrize(
    "mode",
    [
        "text/html; charset", "text/html;", "text/html; =x", "text/html; a=", 'text/html; a="x',
        'text/html; a="x"y', "text/html; a=b c", "text/", "/html", "text/html\n",
        "text/html;a=b\n", 'text/html;a="\n"', "text/html;\u00a0a=b",
    ],
)  # fmt: skip
def test_media_types_that_are_half_are_refused(mode):
    wrong = read_card(small(defaultInputModes=[mode])).errors
    assert ("$.defaultInputModes[0]", "media-type") in [(one.path, one.rule) for one in wrong]


# --- names -----------------------------------------------------------------------------------


def test_a_name_of_underscores_is_refused_at_once():
    assert errors_of(small(**{"_" * 900_000: 1})) == [["$", "size"]]


@pytest.mark.parametrize(
    ("base", "path", "at"),
    [
        (small(), "securitySchemes", "$.securitySchemes"),
        (small(), "securityRequirements.0.schemes", "$.securityRequirements[0].schemes"),
        (small(), "skills.0", "$.skills[0]"),
        (FULL_0_3, "security.0", "$.security[0]"),
        (FULL_0_3, "securitySchemes.machines.flows.clientCredentials.scopes",
         "$.securitySchemes.machines.flows.clientCredentials.scopes"),
    ],
)  # fmt: skip
def test_names_are_bounded_at_their_bound(base, path, at):
    most = bounds.MAX_NAME_LENGTH
    over = read_card(changed(base, f"{path}.{'x' * (most + 1)}", "y"))
    (wrong,) = [each for each in over.errors if each.rule == "size"]
    assert wrong.path == at
    told = f"has a member whose name has {most + 1} characters; at most {most} are read"
    assert wrong.message == told
    allowed = read_card(changed(base, f"{path}.{'x' * most}", "y"))
    assert "size" not in {each.rule for each in allowed.errors}


def test_names_inside_the_params_of_an_extension_are_its_own():
    params = {"x" * 1000: 1}
    card = small(capabilities={"extensions": [{"uri": "urn:x:y", "params": params}]})
    assert read_card(card).valid


def test_what_was_meant_is_looked_for_among_few_short_names():
    most = bounds.MAX_HINT_LENGTH
    assert near("Skils", ["skills"]) == '; did you mean "skills"?'
    assert near("x" * most, ["x" * (most - 1)]) == f'; did you mean "{"x" * (most - 1)}"?'
    assert near("x" * (most + 1), ["x" * most]) == ""
    assert near("x" * most, ["x" * (most + 1)]) == ""
    others = [f"{n}" for n in range(bounds.MAX_HINT_NAMES)]
    assert near("skils", [*others[1:], "skills"]) != ""
    assert near("skils", [*others, "skills"]) == ""


def test_the_scopes_of_a_scheme_are_gathered_once(monkeypatch):
    asked = []
    real = lint.flows
    monkeypatch.setattr(lint, "flows", lambda scheme: asked.append(1) or real(scheme))
    flow = {**FLOW, "scopes": {f"s{n}": "x" for n in range(bounds.MAX_MEMBERS)}}
    card = changed(FULL_0_3, "securitySchemes.machines.flows.clientCredentials", flow)
    card["security"] = [{"machines": ["s0"]}] * bounds.MAX_MEMBERS
    card["skills"][0]["security"] = card["security"]
    assert read_card(card).valid
    assert len(asked) < 5 * len(card["securitySchemes"])
