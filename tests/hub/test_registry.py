"""Signatures say what a task asks for; the registry knows who there is to ask."""

import math
import threading
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.core import limits
from quorate.core.canonical import canonical, parse
from quorate.core.errors import UsageError, UsageTypeError
from quorate.hub.experts import Expert
from quorate.hub.registry import Registry
from quorate.hub.signature import TaskSignature


def expert(id_, **rest):
    return Expert(id_, lambda task: task, confidence=1, **rest)


class FixedRates:
    def success_rate(self, expert_id, /):
        return Fraction(len(expert_id), 10)


def test_a_signature_is_brought_to_one_form():
    signature = TaskSignature(["law", "code", "law"], np.array([1.0, -0.5]), 9, ("t", "s"))
    assert signature.capabilities == ("code", "law")
    assert signature.embedding == (1.0, -0.5)
    assert all(type(number) is float for number in signature.embedding)
    assert signature.tags == ("s", "t")
    assert signature == TaskSignature(("law", "code"), (1, -0.5), 9, ["s", "t"])
    assert hash(signature) == hash(TaskSignature(("law", "code"), (1, -0.5), 9, ["s", "t"]))
    assert TaskSignature().to_dict() == {
        "capabilities": [],
        "embedding": None,
        "priority": 5,
        "tags": [],
    }


@given(
    st.lists(st.text(min_size=1, max_size=4).filter(lambda t: t.isprintable()), max_size=5),
    st.none() | st.lists(st.floats(-1e100, 1e100), min_size=1, max_size=4),
    st.integers(0, 9),
)
def test_a_signature_survives_canonical_json(capabilities, embedding, priority):
    signature = TaskSignature(capabilities, embedding, priority, capabilities)
    again = TaskSignature.from_dict(parse(canonical(signature.to_dict())))
    assert again == signature
    assert canonical(again.to_dict()) == canonical(signature.to_dict())


@pytest.mark.parametrize(
    ("values", "error", "told"),
    [
        ({"capabilities": "law"}, UsageTypeError, "give a list"),
        ({"capabilities": [1]}, UsageTypeError, "should be a string"),
        ({"capabilities": [""]}, UsageError, "0 characters"),
        ({"tags": {"a": 1}}, UsageTypeError, "give a list"),
        ({"tags": 3}, UsageTypeError, "give a list"),
        ({"embedding": []}, UsageError, "empty"),
        ({"embedding": [math.nan]}, UsageError, "finite"),
        ({"embedding": [math.inf]}, UsageError, "finite"),
        ({"embedding": [1e200]}, UsageError, "smaller"),
        ({"embedding": [True]}, UsageTypeError, "bool"),
        ({"embedding": ["1"]}, UsageTypeError, "str"),
        ({"embedding": np.zeros((2, 2))}, UsageTypeError, "list"),
        ({"embedding": 5}, UsageTypeError, "give a list"),
        ({"priority": -1}, UsageError, "0 to 9"),
        ({"priority": 10}, UsageError, "0 to 9"),
        ({"priority": True}, UsageTypeError, "whole number"),
        ({"priority": 5.0}, UsageTypeError, "whole number"),
    ],
)
def test_what_is_no_signature(values, error, told):
    with pytest.raises(error, match=told):
        TaskSignature(**values)


@pytest.mark.parametrize(
    ("name", "most", "item"),
    [
        ("capabilities", limits.MAX_CAPABILITIES, str),
        ("tags", limits.MAX_TAGS, str),
        ("embedding", limits.MAX_VECTOR_LENGTH, float),
    ],
)
def test_the_sizes_of_a_signature_are_bounded(name, most, item):
    TaskSignature(**{name: [item(n) for n in range(most)]})
    with pytest.raises(UsageError, match=f"more than {most} items"):
        TaskSignature(**{name: [item(n) for n in range(most + 1)]})


def test_a_signature_read_with_unknown_keys_is_refused():
    with pytest.raises(UsageError, match="unknown keys: 'urgency'"):
        TaskSignature.from_dict({**TaskSignature().to_dict(), "urgency": 1})


def test_experts_by_id_in_order():
    registry = Registry([expert("b"), expert("a")])
    registry.add(expert("c"))
    assert registry.ids == ("a", "b", "c")
    assert [one.id for one in registry] == ["a", "b", "c"]
    assert len(registry) == 3
    assert "a" in registry
    assert "z" not in registry
    assert registry.get("a").id == "a"
    gone = registry.remove("b")
    assert gone.id == "b"
    assert registry.ids == ("a", "c")
    registry.add(gone)
    assert len(registry) == 3


def test_an_id_is_registered_once():
    registry = Registry([expert("a", weight=2)])
    with pytest.raises(UsageError, match="'a' is registered already"):
        registry.add(expert("a"))
    assert registry.get("a").weight == 2


@pytest.mark.parametrize("value", ["a", None, Expert, {"id": "a"}])
def test_only_experts_are_registered(value):
    with pytest.raises(UsageTypeError, match=r"give a quorate\.hub\.Expert"):
        Registry([value])


def test_a_misspelt_id_is_answered_with_the_nearest():
    registry = Registry([expert("contracts"), expert("tariffs"), expert("chemistry"), expert("z")])
    with pytest.raises(UsageError, match=r"no expert 'contract'; did you mean 'contracts'\?"):
        registry.get("contract")
    with pytest.raises(UsageError, match="there is 'chemistry', 'contracts', 'tariffs' and 1 more"):
        registry.remove("0000")
    with pytest.raises(UsageError, match="none is registered"):
        Registry().get("a")
    with pytest.raises(UsageTypeError, match="should be a string"):
        registry.get(3)


def test_who_is_able_has_every_capability():
    registry = Registry(
        [
            expert("a", capabilities=["law", "tax"]),
            expert("b", capabilities=["law"]),
            expert("c"),
        ]
    )
    assert [one.id for one in registry.able(())] == ["a", "b", "c"]
    assert [one.id for one in registry.able(("law",))] == ["a", "b"]
    assert [one.id for one in registry.able(("tax", "law"))] == ["a"]
    assert registry.able(("law", "art")) == ()
    assert registry.lacking(("law", "music", "art")) == ("art", "music")


def test_vectors_of_one_registry_have_one_length():
    registry = Registry([expert("a"), expert("b", vector=(1, 0))])
    with pytest.raises(UsageError, match="'c' has 3 numbers, that of 'b' has 2"):
        registry.add(expert("c", vector=(1, 0, 0)))
    registry.remove("b")
    registry.add(expert("c", vector=(1, 0, 0)))


def test_success_rates_come_from_the_standing():
    registry = Registry([expert("abc")])
    assert registry.success_rate("abc") == Fraction(1, 2)
    registry.standing = FixedRates()
    assert registry.success_rate("abc") == Fraction(3, 10)
    with pytest.raises(UsageError, match="no expert"):
        registry.success_rate("abd")


def test_a_registry_is_bounded(monkeypatch):
    monkeypatch.setattr(limits, "MAX_REGISTERED", 3)
    registry = Registry([expert("a"), expert("b"), expert("c")])
    with pytest.raises(UsageError, match="at most 3 experts"):
        registry.add(expert("d"))


def test_many_threads_register_side_by_side():
    registry = Registry()
    start = threading.Barrier(8)

    def work(number):
        start.wait()
        for step in range(50):
            registry.add(expert(f"{number}-{step}"))
            assert len(list(registry)) >= 1
            if step % 2:
                registry.remove(f"{number}-{step}")

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(registry) == 8 * 25
