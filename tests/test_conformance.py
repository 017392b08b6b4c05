"""The vectors in conformance/, run against the package, and held to what generates them."""

import json
import sys
from fractions import Fraction
from importlib import import_module
from itertools import permutations
from pathlib import Path

import pytest

from quorate.arbitration import Proposal, gather, instant_runoff
from quorate.arbitration.arbiters.spelling import winner_of
from quorate.arbitration.counted import count
from quorate.arbitration.normal import Normaliser
from quorate.arbitration.rules import Ballot, weighted_quorum
from quorate.arbitration.rules.early import first_to_quorum
from quorate.arbitration.rules.normalise import NORMALISERS, NotNormalError, normal_digest
from quorate.arbitration.rules.unassigned import UNASSIGNED
from quorate.core.canonical import canonical, digest, parse
from quorate.core.errors import UsageError
from quorate.core.exact import as_text, exact, from_text
from quorate.core.quorum import Quorum

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "conformance"
KINDS = sorted(path.stem for path in FOLDER.glob("*.json"))
BALLOTS_THAT_NEED_NUMPY = 32


def read(kind):
    return json.loads((FOLDER / f"{kind}.json").read_text(encoding="ascii"))["cases"]


def vectors(kind):
    return [pytest.param(case["in"], case["out"], id=case["name"]) for case in read(kind)]


def number(text):
    """A number of a vector: ``p/q``, a whole number, or the shortest decimal of a double."""
    plain = text.lstrip("-").replace("/", "")
    return from_text(text) if plain.isdigit() else exact(float(text))


@pytest.fixture(scope="module")
def generate():
    sys.path.insert(0, str(ROOT))
    try:
        return import_module("conformance.generate")
    finally:
        sys.path.remove(str(ROOT))


def test_the_files_are_what_the_generator_writes(generate):
    assert sorted(generate.FILES) == KINDS
    for kind in KINDS:
        assert (FOLDER / f"{kind}.json").read_text(encoding="ascii") == generate.render(kind), kind


def test_there_are_enough_of_every_kind():
    counts = {kind: len(read(kind)) for kind in KINDS if kind != "unassigned"}
    assert min(counts.values()) >= 50
    assert sum(counts.values()) >= 500
    for kind in counts:
        names = [case["name"] for case in read(kind)]
        assert len(set(names)) == len(names), kind


@pytest.mark.parametrize("kind", KINDS)
def test_every_file_says_what_it_is(kind):
    told = json.loads((FOLDER / f"{kind}.json").read_text(encoding="ascii"))
    assert (told["format"], told["kind"]) == ("quorate-conformance/1", kind)
    assert f"`{kind}.json`" in (FOLDER / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("given", "out"), vectors("digests"))
def test_digests(given, out):
    if "refused" in out:
        for text in (given["json"], given["json"].encode("utf-8", "surrogatepass")):
            with pytest.raises(UsageError):
                parse(text)
        return
    for text in (given["json"], given["json"].encode()):
        value = parse(text)
        assert canonical(value).decode() == out["canonical"]
        assert digest(value) == out["sha256"]


@pytest.mark.parametrize(("given", "out"), vectors("numbers"))
def test_numbers(given, out):
    if "refused" in out:
        with pytest.raises(UsageError):
            exact(parse(given["json"]))
    else:
        assert as_text(exact(parse(given["json"]))) == out["exact"]


@pytest.mark.parametrize(("given", "out"), vectors("votes"))
def test_votes(given, out):
    assert as_text(number(given["weight"]) * number(given["confidence"])) == out["vote"]


@pytest.mark.parametrize(("given", "out"), vectors("quorums"))
def test_quorums(given, out):
    if "refused" in out:
        with pytest.raises(UsageError):
            Quorum(given["n"], given["faults"])
    else:
        quorum = Quorum(given["n"], given["faults"])
        assert {"faults": quorum.faults, "size": quorum.size} == out


def ballots(given):
    return [
        Ballot(b["expert"], b["answer"], number(b["weight"]), number(b["confidence"]))
        for b in given["ballots"]
    ]


def weights(listed):
    return {one["expert"]: number(one["weight"]) for one in listed}


def orders(cast):
    """Every order of a few, and of many the two directions."""
    return permutations(cast) if len(cast) <= 4 else (cast, cast[::-1])


def shown(fold, support, backing, standing, reason):
    leader = fold.groups[0] if fold.groups else None
    return {
        "standing": standing,
        "reason": reason,
        "leader": leader and leader.digest,
        "top": leader and leader.top,
        "support": as_text(support),
        "backing": as_text(backing),
        "void": [void.expert_id for void in fold.void],
    }


@pytest.mark.parametrize(("given", "out"), vectors("weighted_quorum"))
def test_weighted_quorum(given, out):
    for cast in orders(ballots(given)):
        fold = weighted_quorum(list(cast), weights(given["absent"]), number(given["quorum"]))
        standing = "commit" if fold.reason is None else "refuse"
        assert shown(fold, fold.support, fold.backing, standing, fold.reason) == out


@pytest.mark.parametrize(("given", "out"), vectors("first_to_quorum"))
def test_first_to_quorum(given, out):
    for cast in orders(ballots(given)):
        fold = first_to_quorum(
            list(cast),
            weights(given["absent"]),
            weights(given["pending"]),
            number(given["quorum"]),
            early=given["early"],
        )
        found = shown(fold.arrived, fold.support, fold.backing, fold.standing, fold.reason)
        assert found == out


@pytest.mark.parametrize(("given", "out"), vectors("order"))
def test_order(given, out):
    for cast in orders(ballots(given)):
        groups = weighted_quorum(list(cast), {}, Fraction(1, 2)).groups
        found = [{"answer": g.digest, "votes": as_text(g.votes), "top": g.top} for g in groups]
        assert found == out["order"]


@pytest.mark.parametrize(("given", "out"), vectors("spellings"))
def test_spellings(given, out):
    for cast in orders(ballots(given)):
        sent = [Proposal(b.expert_id, b.digest, b.confidence, b.weight) for b in cast]
        counted = count(gather(sent), Normaliser.of(lambda _: "one group"))
        (group,) = weighted_quorum(counted.ballots(), {}, Fraction(1, 2)).groups
        chosen = winner_of(counted, group)
        assert {"spelling": chosen.payload, "expert": chosen.expert_id} == out


@pytest.mark.parametrize("blank", [0, BALLOTS_THAT_NEED_NUMPY], ids=["few", "many"])
@pytest.mark.parametrize(("given", "out"), vectors("runoff"))
def test_runoff(given, out, blank):
    rankings = given["rankings"] + [[]] * blank
    weighed = [*map(number, given["weights"]), *[0] * blank]
    if "refused" in out:
        with pytest.raises(UsageError):
            instant_runoff(rankings, weighed, options=given["options"])
        return
    result = instant_runoff(rankings, weighed, options=given["options"])
    rounds = [
        {
            "tally": [[option, str(weight)] for option, weight in r.tally.items()],
            "eliminated": r.eliminated,
            "exhausted": str(r.exhausted),
        }
        for r in result.rounds
    ]
    found = {"winner": result.winner, "rounds": rounds, "condorcet": result.condorcet_winner}
    assert found == out


@pytest.mark.parametrize(("given", "out"), vectors("normalisers"))
def test_normalisers(given, out):
    name, payload = given["normaliser"], parse(given["json"])
    if "refused" in out:
        with pytest.raises(NotNormalError):
            NORMALISERS[name](payload)
        return
    assert canonical(NORMALISERS[name](payload)).decode() == out["normal"]
    assert normal_digest(name, payload) == out["sha256"]
    # What is normal stays as it is.
    assert normal_digest(name, parse(out["normal"])) == out["sha256"]


def test_unassigned():
    listed = [(int(run["first"], 16), int(run["last"], 16)) for run in read("unassigned")]
    assert listed == list(UNASSIGNED)
