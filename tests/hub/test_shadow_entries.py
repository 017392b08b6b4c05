"""An entry of shadow mode is held to the verdict that it stands beside."""

import pytest

from quorate.arbitration import sealed
from quorate.core.canonical import digest
from quorate.core.errors import VerificationError
from quorate.hub import Answer, Expert, shadow
from quorate.hub.hub import Hub
from quorate.ledger import Ledger
from quorate.ledger.replay import ReplayContext


def says(id_, payload):
    return Expert(id_, lambda task: Answer(payload, 1))


def crashes(id_):
    def fail(task):
        raise ValueError("no idea")

    return Expert(id_, fail)


SAME = (says("a", "yes"), says("b", "yes"), says("old", "yes"))
OTHER = (says("a", "yes"), says("b", "yes"), says("old", "no"))
REFUSED = (says("a", "yes"), says("b", "no"), says("old", "no"))
SILENT = (says("a", "yes"), says("b", "yes"), crashes("old"))
PANELS = {"same": SAME, "other": OTHER, "refused": REFUSED, "silent": SILENT}


def sealed_by(*panels):
    """Kind and body of each entry that these panels leave, one task each, in order."""
    with Ledger.open("memory:") as ledger:
        for number, (*experts, incumbent) in enumerate(panels):
            with Hub(experts, mode="shadow", incumbent=incumbent, ledger=ledger) as hub:
                hub.dispatch("q", id=f"t{number}")
        return [(one.kind, one.payload) for one in map(ledger.get, range(len(ledger)))]


def replay(entries):
    context = ReplayContext()
    for seq, (kind, body) in enumerate(entries):
        context.seq = seq
        (shadow if kind == "shadow" else sealed).replay(kind, body, context)


def changed(body, **fields):
    return {**body, "shadow": {**body["shadow"], **fields}}


@pytest.mark.parametrize("panel", PANELS)
def test_what_a_hub_sealed_comes_out_the_same(panel):
    entries = sealed_by(PANELS[panel])
    assert [kind for kind, _ in entries][1:] == ["shadow"]
    told = entries[1][1]["shadow"]
    assert (told["refused"], told["differs"]) == (panel == "refused", panel == "other")
    replay(entries)


@pytest.mark.parametrize(
    ("panel", "change", "message"),
    [
        ("same", {"refused": True}, "refused is True, but beside entry 0 it is False"),
        ("refused", {"refused": False}, "refused is False, but beside entry 0 it is True"),
        ("same", {"differs": True}, "differs is True, but beside entry 0 it is False"),
        ("other", {"differs": False}, "differs is False, but beside entry 0 it is True"),
        ("other", {"acted": "yes"}, "differs is True"),
        ("same", {"acted": "no"}, "differs is False"),
        ("refused", {"differs": True}, "differs is True"),
        ("silent", {"differs": True}, "differs is True"),
        ("silent", {"acted": "yes"}, "yet something was acted upon"),
        ("same", {"refused": 0}, "refused is of type int; it is true or false"),
        ("same", {"answered": None}, "answered is None"),
        ("same", {"incumbent": ""}, "incumbent has 0 characters"),
        ("same", {"detail": None}, "detail is a NoneType"),
        ("same", {"more": 1}, "a shadow has the keys"),
    ],
)
def test_a_forged_shadow_is_refused(panel, change, message):
    verdict, (kind, body) = sealed_by(PANELS[panel])
    with pytest.raises(VerificationError, match=message) as caught:
        replay([verdict, (kind, changed(body, **change))])
    assert caught.value.rule == "replay"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"verdict": digest("another")}, "beside another verdict"),
        ({"task": {"id": "t0", "input_digest": digest("another")}}, "another input"),
        ({"task": {"id": "t9", "input_digest": digest("q")}}, "no earlier entry holds a verdict"),
        ({"task": {"id": "t0"}}, "task lacks input_digest"),
        ({"task": None}, "task is a NoneType"),
        ({"verdict": "x"}, "verdict has 1 characters"),
        ({"more": 1}, "unknown keys: 'more'"),
        ({"shadow": None}, "a shadow has the keys"),
    ],
)
def test_a_shadow_of_another_verdict_is_refused(change, message):
    verdict, (kind, body) = sealed_by(SAME)
    with pytest.raises(VerificationError, match=message) as caught:
        replay([verdict, (kind, {**body, **change})])
    assert caught.value.rule == "replay"


def test_a_shadow_cannot_be_moved_repeated_or_sealed_as_another_kind():
    first, beside_first, second, beside_second = sealed_by(SAME, REFUSED)
    replay([first, second, beside_second, beside_first])
    for entries, message in (
        ([beside_first, first], "no earlier entry holds a verdict"),
        ([first, beside_first, beside_first], "entry 1 stands beside"),
        (
            [first, second, ("shadow", {**beside_first[1], "task": beside_second[1]["task"]})],
            "than",
        ),
    ):
        with pytest.raises(VerificationError, match=message):
            replay(entries)
    with pytest.raises(VerificationError, match="sealed as 'note'"):
        shadow.replay("note", beside_first[1], ReplayContext())
