"""Electorates, keys and names: what changes is said, one key is one voter, and ids can be read."""

import base64

import pytest
from council_tools import KEYS, SIGNERS, council, keyed, passed, signed_through, verify_all

from quorate.core.errors import UsageError, UsageTypeError
from quorate.core.identity import SMALL_ORDER, Ed25519Signer, Ed25519Verifier
from quorate.council import ConsensusProtocol, electorate_evidence, sign_proposal
from quorate.council.rules.keys import check_point

KEYED = {voter: KEYS[voter] for voter in "abcd"}


# --- electorates ------------------------------------------------------------------------


def test_an_approved_change_is_no_answer_to_a_later_electorate(ledger):
    """The attack: E0 to E1 and E0 to E2 are approved; back at E0, E2 would still rule."""
    c = council("abcd", ledger=ledger)
    one, two = c.propose_electorate("a", [*"abcde"]), c.propose_electorate("b", [*"abcdz"])
    passed(c, one, "abc")
    passed(c, two, "abc")
    assert c.execute(one)
    back = c.propose_electorate("a", [*"abcd"])
    passed(c, back, "abcd")
    assert c.execute(back)
    assert c.electorate.digest == c.get_proposal(two).electorate.digest
    with pytest.raises(UsageError, match="no longer the council's"):
        c.execute(two)
    assert c.voter_ids == tuple("abcd")
    verify_all(ledger)


def propose_signed(c, voters, **options):
    evidence = electorate_evidence(voters, **options)
    request = c.request("a", "change_electorate", None, evidence)
    return c.propose_electorate(
        "a", voters, signature=sign_proposal(SIGNERS["a"], request), **options
    )


def test_no_key_goes_without_a_word(ledger):
    """The attack, or an oversight: the keys are left out, and anybody votes for anybody."""
    c = keyed(ledger=ledger)
    for options in ({}, {"keys": {"a": KEYS["a"]}}, {"drop_keys": ["a", "b"]}):
        with pytest.raises(UsageError, match="dropped_keys is"):
            propose_signed(c, [*"abcd"], **options)
    with pytest.raises(UsageError, match="dropped_keys is"):
        propose_signed(c, [*"abcde"], keys=KEYED, drop_keys=["d"])
    assert len(ledger) == 1
    keys = {"a": KEYS["a"], "b": KEYS["e"], "e": KEYS["d"]}
    p = propose_signed(c, [*"abce"], weights={"e": 1}, keys=keys, drop_keys=["c"])
    told = c.summary()["open"][0]["changes"]
    assert told == {
        "come": ["e"], "go": ["d"], "weigh": {}, "keyed": [], "rekeyed": ["b"], "unkeyed": ["c"],
    }  # fmt: skip
    assert "voters that LOSE their key, and sign nothing from then on: c" in c.render()
    signed_through(c, p)
    assert c.execute(p)
    assert sorted(c.electorate.keys) == [*"abe"]
    verify_all(ledger)


def test_a_change_of_weights_is_told_and_takes_no_target():
    c = council("abcd")
    c.propose_electorate("a", [*"abcd"], {"a": 1.5})
    assert c.summary()["open"][0]["changes"]["weigh"] == {"a": ["1", "3/2"]}
    assert "a weighs 3/2, and 1 before" in c.render()
    evidence = electorate_evidence([*"abcd"])
    with pytest.raises(UsageError, match="takes no target"):
        c.propose("a", "change_electorate", "b", evidence)
    with pytest.raises(UsageError, match="leave it out"):
        c.propose("a", "change_electorate", None, {**evidence, "dropped_keys": []})
    c.propose("b", "change_electorate", None, evidence)
    assert "it changes nothing" in c.render()


def test_one_key_votes_for_one_voter():
    """The attack: a public key's text holds two keys, and only one of them checks ballots."""
    whole = KEYS["a"]._material
    twins = [Ed25519Verifier(whole[:32], bytes([n]) * 32) for n in (1, 2)]
    with pytest.raises(UsageError, match="the same key: 'a' and 'b'"):
        ConsensusProtocol([*"abcd"], keys={"a": KEYS["a"], "b": twins[0]})
    with pytest.raises(UsageError, match="the same key"):
        ConsensusProtocol([*"abcd"], keys=dict(zip("cd", twins, strict=True)))


P = 2**255 - 19


def test_a_key_under_which_anybody_signs_is_none():
    """Of small order, in another spelling, or no point at all."""
    note = b"\x01" * 32
    for y, sign in [(y, s) for y in SMALL_ORDER for s in (0, 1)]:
        raw = (y | sign << 255).to_bytes(32, "little")
        with pytest.raises(UsageError, match="small order"):
            ConsensusProtocol(["a"], keys={"a": text(raw + note)})
    for y in range(P, 2**255):
        with pytest.raises(UsageError, match="not in its one spelling"):
            ConsensusProtocol(["a"], keys={"a": text(y.to_bytes(32, "little") + note)})
    off = [y for y in range(2, 40) if refused(y.to_bytes(32, "little") + note)]
    assert 5 < len(off) < 33
    for n in range(50):
        check_point(Ed25519Signer(bytes([n]) * 32).verifier.to_text(), "a")


def text(raw):
    return "ed25519:" + base64.urlsafe_b64encode(raw).decode().rstrip("=")


def refused(raw):
    try:
        check_point(text(raw), "a")
    except UsageError as error:
        return "no point of the curve" in str(error)
    return False


def test_small_order_is_what_eight_times_a_point_makes_nothing_of():
    """Twice the y of a point, three times over: (y^2 + x^2) / (1 - d x^2 y^2), by its x^2 alone."""
    d = -121665 * pow(121666, -1, P) % P
    for small in SMALL_ORDER:
        y = small
        for _ in range(3):
            xx = (y * y - 1) * pow(d * y * y + 1, -1, P) % P
            y = (y * y + xx) * pow(1 - d * xx * y * y, -1, P) % P
        assert y == 1
    assert len(SMALL_ORDER) == 5


# --- names ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "id_", ["anna ", " anna", "an\u200bna", "a\u0308nna", "an\nna", "\u202eanna"]
)
def test_an_id_is_what_one_sees_of_it(id_):
    with pytest.raises(UsageError, match="give visible characters"):
        ConsensusProtocol([id_, "b"])
    assert ConsensusProtocol(["\u00e4nna b", "b"]).voter_count == 2


@pytest.mark.parametrize("voters", [{"a": 10, "b": 1}, None, 7, b"ab"])
def test_voters_that_are_no_list_are_refused(voters):
    with pytest.raises(UsageTypeError, match="give a list of ids"):
        ConsensusProtocol(voters)


@pytest.mark.parametrize("action", ["quarantine", "terminate", "release", "restrict"])
def test_what_acts_on_something_says_on_what(action):
    c = council("abcd")
    with pytest.raises(UsageError, match=f"a proposal to {action} takes a target"):
        c.propose("a", action)
    assert c.propose("a", "escalate") == "p1"


def test_a_target_is_shown_as_one_word_whatever_it_says():
    c = council("abcd")
    c.propose("a", "restrict", "agent-9: approved, execution: executed")
    c.propose("b", "restrict", "agent-7 ")
    c.propose("c", "restrict", "https://host:80/agent-7")
    told = c.render()
    assert 'p1 restrict "agent-9: approved, execution: executed", by a' in told
    assert 'p2 restrict "agent-7 ", by b' in told
    assert "p3 restrict https://host:80/agent-7, by c" in told
