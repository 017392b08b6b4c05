"""Effective independence: counted by hand, against every way of failing, and at its edges."""

import itertools
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.core import limits
from quorate.core.canonical import canonical, parse
from quorate.core.errors import UsageError, UsageTypeError
from quorate.core.independence import Independence, bound, describe, effective_voters, report
from quorate.core.quorum import quorum_size, tolerated_faults


def partitions(n, most=None):
    if n == 0:
        yield []
    for first in range(min(n, most or n), 0, -1):
        for rest in partitions(n - first, first):
            yield [first, *rest]


def naive(sizes):
    """The most groups of which no choice holds a third, and the least safe quorum for them."""
    n = sum(sizes)

    def worst(groups):
        return max(map(sum, itertools.combinations(sizes, groups)))

    faults = max(f for f in range(len(sizes) + 1) if f == 0 or 3 * worst(f) < n)
    # Two quorums of q share at least 2q - n voters; more than the liars must be shared.
    return faults, min(q for q in range(n + 2) if 2 * q - n > worst(faults))


def test_every_partition_of_up_to_twelve_voters():
    for n in range(1, 13):
        for sizes in partitions(n):
            assert bound(n, sizes) == bound(n, sizes[::-1]) == naive(sizes)
            faults, quorum = bound(n, sizes)
            lost = sum(sizes[:faults])
            # Whoever is left can still decide.
            assert n - lost >= quorum or n == lost == 0


@pytest.mark.parametrize("n", [1, 2, 3, 4, 6, 7, 10, 100, limits.MAX_REPLICAS])
def test_voters_on_their_own_are_the_plain_bound(n):
    assert bound(n, ()) == bound(n, [1] * n) == (tolerated_faults(n), quorum_size(n))


def hosts(*names):
    return Independence({f"v{i}": {"host": name} for i, name in enumerate(names) if name})


def roster(n):
    return [f"v{i}" for i in range(n)]


def test_four_voters_on_one_host_bear_no_fault():
    found = report(roster(4), hosts("a", "a", "a", "a"))
    assert (found["faults"], found["quorum"], found["worst"]) == (0, 3, "host")
    assert found["attributes"]["host"] == {
        "groups": {"a": 4}, "undeclared": 0, "faults": 0, "quorum": 3,
    }  # fmt: skip
    assert report(roster(4), hosts(*"abcd"))["faults"] == 1


def test_undeclared_is_marked_and_counted_from_n():
    for known in (None, Independence({}), hosts(None), Independence({"elsewhere": {"host": "a"}})):
        found = report(roster(7), known)
        assert (found["declared"], found["attributes"], found["worst"]) == (False, {}, None)
        assert (found["faults"], found["quorum"]) == (2, 5)
        assert "undeclared" in describe(found)


@settings(max_examples=40)
@given(st.lists(st.sampled_from(["a", "b", "c", "d", None]), min_size=1, max_size=6))
def test_what_is_left_open_is_read_in_the_worst_way(names):
    found = report(roster(len(names)), hosts(*names))
    if set(names) == {None}:
        assert not found["declared"]
        return
    choices = [[name] if name else [*"abcd", f"new{i}"] for i, name in enumerate(names)]
    every = [report(roster(len(names)), hosts(*way)) for way in itertools.product(*choices)]
    assert found["faults"] == min(way["faults"] for way in every)
    assert found["attributes"]["host"]["undeclared"] == names.count(None)


def test_the_fewest_faults_and_the_largest_quorum_of_any_attribute_count():
    # Vendor: 3 + 3 + ten alone; host: 4 and twelve alone.
    told = {
        f"v{i:02}": {
            "vendor": f"x{i // 3}" if i < 6 else "y" if i < 9 else f"z{i}",
            "host": "h" if i < 4 else f"h{i}",
        }
        for i in range(16)
    }
    found = report(told, Independence(told))
    host, vendor = found["attributes"]["host"], found["attributes"]["vendor"]
    assert (host["faults"], host["quorum"]) == bound(16, [4])
    assert (vendor["faults"], vendor["quorum"]) == bound(16, [3, 3, 3])
    assert found["worst"] == "vendor"
    assert (found["faults"], found["quorum"]) == (1, 11)
    assert vendor["quorum"] == 10


def test_ties_of_the_worst_go_to_the_larger_quorum_then_the_smaller_name():
    told = {f"v{i}": {"b": "x", "a": "x"} for i in range(4)}
    assert report(told, Independence(told))["worst"] == "a"
    told = {f"v{i}": {"a": f"{i}", "b": "x" if i < 2 else f"{i}"} for i in range(7)}
    found = report(told, Independence(told))
    assert [found["attributes"][a]["faults"] for a in "ab"] == [2, 1]
    assert found["worst"] == "b"
    # Both bear one group; the groups of b are larger.
    told = {f"v{i}": {"a": f"{i // 3}", "b": f"{i // 4}"} for i in range(16)}
    found = report(told, Independence(told))
    assert [found["attributes"][a]["faults"] for a in "ab"] == [1, 1]
    assert [found["attributes"][a]["quorum"] for a in "ab"] == [10, 11]
    assert found["worst"] == "b"


def test_a_report_is_the_same_json_in_any_order():
    told = {"v1": {"host": "b", "family": "g"}, "v0": {"family": "g", "host": "a"}}
    one = report(["v0", "v1", "v2"], Independence(told, 0.25, 8))
    two = report(["v2", "v1", "v0", "v1"], Independence(dict(reversed(told.items())), 0.25, 8))
    assert canonical(one) == canonical(two)
    assert list(one["attributes"]) == ["family", "host"]
    assert parse(canonical(one)) == one


@pytest.mark.parametrize(
    ("n", "rho", "expected"),
    [
        (7, 0, 7),
        (7, 1, 1),
        (7, 0.5, Fraction(7, 4)),
        (7, -0.3, 7),
        (7, 5, 1),
        (1, 1, 1),
        (0, 0.5, 0),
        (4, Fraction(1, 3), 2),
        (11, 0.1, Fraction(11, 2)),
    ],
)
def test_effective_voters(n, rho, expected):
    assert effective_voters(n, rho) == expected


def test_effective_voters_in_the_report():
    found = report(roster(7), Independence({}, 0.5, 20))
    assert (found["effective_voters"], found["correlation"], found["outcomes"]) == (
        "7/4",
        "1/2",
        20,
    )
    assert found["why"] is None
    assert "7/4 effective voters" in describe(found)
    negative = report(roster(7), Independence({}, -0.5, 20))
    assert (negative["effective_voters"], negative["correlation"]) == ("7", "-1/2")
    assert "no known outcomes" in report(roster(7), None)["why"]
    assert "too few" in report(roster(7), Independence({}, None, 3))["why"]


def test_words():
    found = report(roster(4), hosts("a", "a", "b", None))
    assert describe(found).startswith(
        "it bears no faulty host (a: 2, b: 1, undeclared: 1), quorum 3; effective voters unknown"
    )
    assert describe(report(roster(4), hosts(*"abcd"))).startswith("it bears 1 faulty host (a: 1")


def test_an_empty_roster():
    assert (report([], None)["faults"], report([], None)["quorum"]) == (0, 1)


@settings(max_examples=40)
@given(
    st.dictionaries(
        st.sampled_from(["a", "b", "é"]),
        st.dictionaries(st.sampled_from(["host", "vendor"]), st.sampled_from(["x", "y"])),
    ),
    st.none() | st.fractions(-1, 1, max_denominator=99),
    st.integers(1, 9),
)
def test_round_trip(domains, correlation, outcomes):
    known = Independence(domains, correlation, outcomes)
    assert Independence.from_dict(known.to_dict()) == known
    assert Independence.from_dict(parse(canonical(known.to_dict()))) == known


def test_what_was_given_may_change_afterwards():
    told = {"a": {"host": "x"}}
    known = Independence(told)
    told["a"]["host"] = "y"
    known.to_dict()["domains"]["a"]["host"] = "z"
    assert known.domains == {"a": {"host": "x"}}


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Independence([]), UsageTypeError, "domains is a list"),
        (lambda: Independence({"a": "host"}), UsageTypeError, "of 'a' is a str"),
        (lambda: Independence({1: {}}), UsageTypeError, "a voter in domains"),
        (lambda: Independence({"a": {"host": 1}}), UsageTypeError, "host of 'a' is a int"),
        (lambda: Independence({"a": {"host": ""}}), UsageError, "0 characters"),
        (lambda: Independence({"a": {"": "x"}}), UsageError, "0 characters"),
        (lambda: Independence({"a": {"host": "\ud800"}}), UsageError, "surrogate"),
        (lambda: Independence({}, 1.5, 1), UsageError, "between -1 and 1"),
        (lambda: Independence({}, "1/2", 1), UsageTypeError, "str"),
        (lambda: Independence({}, 0.5), UsageError, "of no outcome"),
        (lambda: Independence({}, None, True), UsageTypeError, "whole number"),
        (lambda: Independence({}, None, -1), UsageError, "between 0"),
        (lambda: Independence.from_dict([]), UsageTypeError, "object"),
        (lambda: Independence.from_dict({"domains": {}}), UsageError, "keys"),
        (
            lambda: Independence.from_dict({"domains": {}, "correlation": 0.5, "outcomes": 1}),
            UsageTypeError,
            "correlation",
        ),
        (lambda: effective_voters(-1, 0), UsageError, "negative"),
        (lambda: effective_voters(True, 0), UsageTypeError, "whole number"),
        (lambda: effective_voters(3, float("nan")), UsageError, "finite"),
    ],
)
def test_what_is_wrong_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_bounds():
    most = {f"v{i}": {"host": "a"} for i in range(limits.MAX_REPLICAS)}
    assert report(most, Independence(most))["quorum"] == limits.MAX_REPLICAS // 2 + 1
    with pytest.raises(UsageError, match="voters"):
        Independence({**most, "one more": {}})
    with pytest.raises(UsageError, match="voters"):
        report([*most, "one more"], None)
    many = {f"a{i}": "x" for i in range(limits.MAX_DOMAIN_ATTRIBUTES)}
    assert len(Independence({"v": many}).domains["v"]) == limits.MAX_DOMAIN_ATTRIBUTES
    with pytest.raises(UsageError, match="attributes"):
        Independence({"v": {**many, "one more": "x"}})
    long = "x" * limits.MAX_ID_LENGTH
    assert Independence({long: {long: long}}).domains == {long: {long: long}}
    with pytest.raises(UsageError, match="characters"):
        Independence({"v": {"host": long + "x"}})
