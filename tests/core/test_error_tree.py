"""Errors are split by whose fault it was, and say where."""

import pickle

import pytest

from quorate.core import errors
from quorate.core.canonical import CanonicalError

PARENTS = {
    errors.QuorateError: {Exception},
    errors.UsageError: {errors.QuorateError, ValueError},
    errors.UsageTypeError: {errors.UsageError, TypeError},
    errors.MisbehaviourError: {errors.QuorateError},
    errors.NoQuorum: {errors.QuorateError},
    errors.VerificationError: {errors.QuorateError},
    errors.OperationalError: {errors.QuorateError},
    errors.StoreError: {errors.OperationalError},
    errors.HeadMovedError: {errors.StoreError},
    errors.TransportError: {errors.OperationalError},
    CanonicalError: {errors.UsageError},
}


def test_the_tree_is_this_one():
    assert {error: set(error.__bases__) for error in PARENTS} == PARENTS
    public = {v for v in vars(errors).values() if isinstance(v, type) and issubclass(v, Exception)}
    assert public <= PARENTS.keys()


def test_the_branches_do_not_overlap():
    branches = [
        errors.UsageError, errors.MisbehaviourError, errors.NoQuorum,
        errors.VerificationError, errors.OperationalError,
    ]  # fmt: skip
    for leaf in PARENTS:
        assert sum(issubclass(leaf, branch) for branch in branches) <= 1


def test_misbehaviour_names_the_culprit_and_keeps_the_evidence():
    evidence = {"vote": float("nan")}
    error = errors.MisbehaviourError("r3", "voted twice", evidence=evidence)
    assert (error.culprit, error.evidence, str(error)) == ("r3", evidence, "r3: voted twice")
    assert errors.MisbehaviourError("r3", "x").evidence is None


@pytest.mark.parametrize(("index", "text"), [(7, "entry 7: bad [chain]"), (None, "bad [chain]")])
def test_verification_names_entry_and_rule(index, text):
    error = errors.VerificationError("bad", rule="chain", index=index)
    assert (str(error), error.index, error.rule) == (text, index, "chain")


def test_entry_zero_is_named_too():
    assert str(errors.VerificationError("bad", rule="chain", index=0)).startswith("entry 0: ")


def test_errors_survive_pickling():
    for error in (
        errors.VerificationError("bad", rule="chain", index=3),
        errors.MisbehaviourError("eve", "lied", evidence=[1]),
        CanonicalError("$.a", "no"),
        errors.UsageError("x"),
    ):
        again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
        assert type(again) is type(error)
        assert (str(again), again.__dict__) == (str(error), error.__dict__)
