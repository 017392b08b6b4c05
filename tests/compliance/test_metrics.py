"""Which metrics count as accuracy: by their names, or as their threshold was sealed."""

from fractions import Fraction
from pathlib import Path

import pytest
from collect_tools import DATA, SCOPE, failed, lacking, shown

from quorate.compliance.committing import Threshold, commit_threshold, record_measurement
from quorate.compliance.metrics import ACCURACY, of_accuracy, plainly
from quorate.core.errors import UsageError


def measured(place, metric, value, **more):
    with place.open() as ledger:
        fixed = commit_threshold(
            ledger, metric, "at_least", "0.9", scope=SCOPE, by="risk team", **more
        )
        record_measurement(ledger, fixed.seq, value, samples=8, dataset=DATA)


@pytest.mark.parametrize(
    "name",
    ["recall", " Recall ", "recall@10", "recall.adults", "sepsis recall", "macro-F1", "F1 score",
     "False-positive rate", "ledger.accuracy", "\uff52ecall", *sorted(ACCURACY)],
)  # fmt: skip
def test_names_that_are_known(name):
    assert of_accuracy(name)


@pytest.mark.parametrize("name", ["x", "latency", "redteam.resilience", "rate", "recalls", "-"])
def test_names_that_are_not(name):
    assert not of_accuracy(name)


def test_another_metric_neither_shows_nor_fails_accuracy(place):
    measured(place, "latency share", "0.95")
    found = place.survey()
    assert "art_9.par_8" in shown(found)
    assert "art_15.par_1" not in shown(found)
    told = lacking(found)["accuracy_series"]
    assert "latency share" in told
    assert "--accuracy" in told
    measured(place, "uptime", "0.1")
    assert set(failed(place.survey())) == {"art_9.par_8"}
    measured(place, "recall", "0.95")
    found = place.survey()
    (series,) = shown(found)["art_15.par_1"].data["series"]
    assert series["metric"] == "recall"
    assert set(failed(found)) == {"art_9.par_8"}


def test_one_that_is_declared_counts_and_fails(place):
    measured(place, "sepsis caught", "0.95", accuracy=True)
    assert "art_15.par_1" in shown(place.survey())
    measured(place, "sepsis missed by nobody", "0.5", accuracy=True)
    assert set(failed(place.survey())) == {"art_9.par_8", "art_15.par_1"}


def test_a_known_one_cannot_be_declared_to_be_none(place):
    with place.open() as ledger:
        fixed = commit_threshold(
            ledger, "recall", "at_least", "0.9", scope=SCOPE, by="x", accuracy=False
        )
        assert "accuracy" not in fixed.payload
        record_measurement(ledger, fixed.seq, "0.5", samples=8, dataset=DATA)
    assert "art_15.par_1" in failed(place.survey())


def test_the_declaration_is_sealed_and_read_back():
    body = {
        "rule": "threshold/1", "metric": "x", "comparison": "at_least", "value": "9/10",
        "scope": SCOPE, "by": "x",
    }  # fmt: skip
    assert Threshold.from_dict(body | {"accuracy": True}).to_dict() == body | {"accuracy": True}
    assert Threshold.from_dict(body).to_dict() == body
    for value in (False, 1, "true", None):
        with pytest.raises(UsageError, match="true, or not there"):
            Threshold.from_dict(body | {"accuracy": value})


@pytest.mark.parametrize(
    ("value", "words"),
    [("19/20", "0.95"), ("97/100", "0.97"), ("2", "2"), ("0", "0"), ("-1/8", "-0.125"),
     ("1/3", "1/3"), ("1/1024", "0.0009765625"), ("10", "10"), ("1001/10", "100.1")],
)  # fmt: skip
def test_numbers_as_people_write_them(value, words):
    assert plainly(Fraction(value)) == words
    assert Fraction(words) == Fraction(value)


def test_the_commands_say_what_counts_and_whose_word_it_is(comply, told):
    by = ("quorate.toml", "--at-least", "0.95", "--by", "J. Doe")
    _, out, _ = comply("threshold", "latency share", *by)
    assert "and not as accuracy, Article 15(1)" in out
    assert told("threshold", "uptime", *by, "--accuracy")[1]["of_accuracy"] is True
    _, out, _ = comply("threshold", "redteam.resilience", *by)
    assert "then: quorate redteam scan" in out
    _, out, _ = comply("threshold", "ledger.accuracy", *by)
    assert "then: quorate outcome" in out
    _, fixed = told("threshold", "recall", *by)
    lines = len(Path("tasks.jsonl").read_text().splitlines())
    measure = ("measure", fixed["seq"], "0.97", "quorate.toml", "--dataset")
    _, out, err = comply(*measure, "tasks.jsonl", "--samples", lines)
    assert "nothing here counted or measured" in out
    assert "lines" not in err
    _, _, err = comply(*measure, "tasks.jsonl", "--samples", lines + 1)
    assert f"tasks.jsonl has {lines} lines, and {lines + 1} cases were given" in " ".join(
        err.split()
    )
    _, _, err = comply(*measure, DATA, "--samples", 400)
    assert err == ""
