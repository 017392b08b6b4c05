"""What a verdict says of failing together is held to what its panel declared."""

import copy
import json

import pytest

from quorate.arbitration.rebuilding import rebuild
from quorate.cli.app import run as cli_run
from quorate.core.errors import VerificationError

CODE = """
def yes(task):
    return "yes"

def no(task):
    return "no"
"""
POLICIES = {
    "raise": ("", "", ""),
    "widen": ('on_under_quorum = "widen"', "reserve", ""),
    "fallback": ('on_under_quorum = "fallback"\nfallback = "a"', "member", ""),
    "escalate": (
        'on_under_quorum = "escalate"',
        "consultant",
        '[escalation]\nto = "peer-consult"\nexperts = ["d"]\nweight = 9',
    ),
}


@pytest.fixture
def decided(request, panel_folder):
    """A ledger in which a panel with failure domains decided once; after a refusal, but once."""
    policy, role, escalation = POLICIES[request.param]
    hosts = {"a": "h1", "b": "h1", "c": "h2", "d": "h2"}
    calls = {"a": "yes", "b": "yes", "c": "no" if role else "yes", "d": "yes"}
    blocks = [
        '[ledger]\nurl = "sqlite:///ledger.db"\nsigner = "ledger.key"',
        f'[arbiter]\nprotocol = "weighted-quorum"\nquorum = 0.7\n{policy}',
        escalation,
    ]
    for id_, call in calls.items():
        more = f'role = "{role}"' if id_ == "d" and role else ""
        domain = "" if id_ == "c" else f'failure_domain = {{host = "{hosts[id_]}"}}'
        blocks.append(f'[[experts]]\nid = "{id_}"\nkind = "python"\ncall = "experts:{call}"')
        blocks[-1] += f"\nconfidence = 0.9\n{domain}\n{more}"
    if role == "member":
        blocks = [block for block in blocks if 'id = "d"' not in block]
    (panel_folder.folder / "experts.py").write_text(CODE)
    panel_folder.path.write_text("\n\n".join(blocks) + "\n")
    panel_folder.tasks(json.dumps({"id": "t", "input": 1}))
    files = [str(panel_folder.path), str(panel_folder.tasks_path), "-o", str(panel_folder.out_path)]
    assert cli_run(["run", *files]) == 0
    with panel_folder.open_ledger() as ledger:
        ledger.verify(replay=True)
        yield ledger


def forge(ledger, change):
    """Seal the last verdict again with other domains, and all that follows from them."""
    sealed = list(ledger)[-1]
    body = copy.deepcopy(sealed.payload)
    outer = {name: body.pop(name) for name in ("task", "panel")}
    outer["task"]["id"] = "another"
    change(body)
    body = rebuild(body) | outer
    ledger.append(sealed.kind, body, key="task:another")
    return body


def check(ledger):
    with pytest.raises(VerificationError, match="the failure domains are not those") as caught:
        ledger.verify(replay=True)
    assert caught.value.rule == "panel"


def apart(body):
    for one in (body, body.get("parent", {})):
        if "independence" in one:
            one["independence"]["domains"]["b"] = {"host": "h7"}
    if "parent" in body:
        body["parent"] = rebuild(body["parent"])


def silent(body):
    del body["independence"]
    if "parent" in body:
        del body["parent"]["independence"]
        body["parent"] = rebuild(body["parent"])


def one_more(body):
    body["independence"]["domains"]["c"] = {"host": "h3"}


def undeclared(body):
    body["independence"]["domains"] = {}


@pytest.mark.parametrize(
    ("decided", "change"),
    [
        *(("raise", change) for change in (apart, silent, one_more, undeclared)),
        *((way, apart) for way in POLICIES if way != "raise"),
    ],
    indirect=["decided"],
)
def test_a_verdict_with_other_domains_does_not_verify(decided, change):
    forge(decided, change)
    check(decided)


@pytest.mark.parametrize("decided", ["widen", "fallback", "escalate"], indirect=True)
def test_a_weaker_verdict_inside_has_the_same_domains(decided):
    """Then the one around it, which is held to the panel, speaks for it."""

    def change(body):
        body["parent"]["independence"]["domains"]["b"] = {"host": "h7"}
        body["parent"] = rebuild(body["parent"])

    with pytest.raises(VerificationError, match="is not what the parent has"):
        forge(decided, change)


@pytest.mark.parametrize("decided", POLICIES, indirect=True)
def test_a_verdict_with_the_same_domains_verifies(decided):
    """So it is the domains that the others fail by."""
    forge(decided, lambda _: None)
    assert decided.verify(replay=True).size == len(decided)


def test_a_panel_without_domains_has_no_verdict_with_some(panel_folder):
    panel_folder.tasks('{"id": "t", "input": 1}').run()
    with panel_folder.open_ledger() as ledger:
        forge(
            ledger,
            lambda body: body.update(
                independence={"domains": {"a": {"host": "h"}}, "correlation": None, "outcomes": 0}
            ),
        )
        check(ledger)


@pytest.mark.parametrize("domain", [["h1"], {"host": 1}, {"": "h"}, "h1"])
def test_a_declaration_with_domains_that_are_none_does_not_verify(panel_folder, domain):
    panel_folder.tasks('{"id": "t", "input": 1}').run()
    with panel_folder.open_ledger() as ledger:
        body = copy.deepcopy(next(iter(ledger)).payload)
        body["experts"]["a"]["failure_domain"] = domain
        ledger.append("panel", body)
        with pytest.raises(VerificationError) as caught:
            ledger.verify(replay=True)
        assert caught.value.rule == "panel"
