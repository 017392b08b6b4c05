"""What is committed in docs/lab, and how a report is read; no model is trained here."""

import json
import re
from pathlib import Path

import pytest

from quorate.core.errors import UsageError
from quorate.moe.lab import Report, Series
from quorate.moe.lab.findings import findings, scored, share
from quorate.moe.lab.kappa import brief_of, measured_of, page
from quorate.moe.lab.names import ATTACK_NAMES
from quorate.moe.lab.report import LISTS
from quorate.moe.lab.tables import markdown

DOCS = Path(__file__).parents[2] / "docs"
LAB = DOCS / "lab"


@pytest.fixture(scope="module")
def committed():
    return Report.from_dict(json.loads((LAB / "moe.json").read_text()))


def test_the_committed_tables_are_what_the_committed_numbers_give(committed):
    assert (LAB / "moe.md").read_text() == markdown(committed)
    assert (LAB / "fusion.md").read_text() == page(json.loads((LAB / "fusion.json").read_text()))


def test_a_changed_number_changes_the_tables(committed):
    changed = committed.to_dict()
    for one in changed["series"]:
        if (one["rule"], one["attack"], one["replicas"]) == ("median", "sign_flip", "copies"):
            one["misrouted"][0] = 0.25
    told = markdown(Report.from_dict(changed))
    assert told != markdown(committed)
    assert "25.0%" in told


def test_the_committed_run_was_a_whole_one(committed):
    assert (committed.quick, set(committed.subjects)) == (False, {"digits", "text"})
    assert committed.sizes() == committed.sizes("apart") == [4, 7]
    assert list(committed.attacks) == [*ATTACK_NAMES]


def test_attacks_are_counted_in_one_way(committed):
    told = markdown(committed)
    assert f"{len(ATTACK_NAMES) - 1} attacks on replicas; and poisoned_training" in told
    assert not re.search(r"\b(ten|eleven)\b", (DOCS / "lab.md").read_text())


def test_what_the_page_says_of_the_mean_is_what_the_tables_say(committed):
    for one in committed.where(replicas="copies", rule="mean"):
        plain = committed.one(subject=one.subject, rule="plain gate", attack=one.attack)
        for liars in [liars for liars in one.liars if liars <= one.faults]:
            if one.attack in {"nan", "sign_flip"}:
                assert one.at("misrouted", liars) == 0
            if one.attack == "flipped_bit":
                assert one.at("misrouted", liars) == plain.at("misrouted", 1)
            if one.attack == "inner_product":
                assert one.at("misrouted", liars) == 1


def test_the_committed_tables_of_rules_say_what_made_them():
    told = json.loads((LAB / "fusion.json").read_text())
    assert (told["report"], told["quick"], told["seed"]) == ("quorate bench fusion", False, 0)
    assert "Made by `quorate bench fusion`, seed 0, with quorate" in page(told)


def test_within_the_bound_the_committed_run_lost_no_token_of_copies(committed):
    for one in committed.where(replicas="copies"):
        if one.rule == "mean" or one.attack == "poisoned_training":
            continue
        for liars in one.liars:
            if liars <= one.faults:
                assert (one.at("misrouted", liars), one.at("refused", liars)) == (0, 0), one


def test_the_page_has_no_figure_that_the_tables_do_not_have():
    page_text = (DOCS / "lab.md").read_text()
    prose = re.sub(r"```.*?```|`[^`]*`|\[[^]]*\]\([^)]*\)", "", page_text, flags=re.DOTALL)
    assert re.findall(r"\d+(?:\.\d+)?\s*%", prose) == []
    assert re.findall(r"\b0\.\d+", prose) == []


def test_every_picture_that_the_page_shows_is_there():
    named = re.findall(r"\]\((lab/[^)]+)\)", (DOCS / "lab.md").read_text())
    assert named
    for name in named:
        assert (DOCS / name.partition("#")[0]).stat().st_size > 0


def test_a_report_is_the_same_after_json(committed):
    again = Report.from_dict(json.loads(json.dumps(committed.to_dict())))
    assert again == committed


@pytest.mark.parametrize("wrong", [{}, {"report": "quorate bench moe", "version": 0}])
def test_what_is_no_report_is_refused(wrong):
    with pytest.raises(UsageError, match="no report of quorate bench moe"):
        Report.from_dict(wrong)


# -- worst of all attacks


def series(attack, **values):
    lists = {name: [values.get(name, 0.0)] * 4 for name in LISTS}
    return Series("s", "copies", 4, 1, "median", attack, [1, 2, 3, 4], **lists)


def report_of(metric, *found):
    about = {one.attack: {"about": "", "harms_plain": True} for one in found}
    subjects = {"s": {"metric": metric, "target": "x"}}
    return Report(True, 0, {}, subjects, about, ["median"], [], list(found))


def test_the_worst_accuracy_is_the_least_and_the_worst_loss_the_greatest():
    found = (series("a", score=0.2), series("b", score=0.9))
    wanted = {"subject": "s", "rule": "median"}
    assert report_of("accuracy", *found).worst("score", 1, **wanted) == (0.2, "a")
    assert report_of("loss", *found).worst("score", 1, **wanted) == (0.9, "b")
    assert report_of("accuracy", *found).worst("score", 1, but="a", **wanted) == (0.9, "b")


def test_what_is_not_a_number_is_worst_of_all():
    found = report_of("loss", series("a", score=99.0), series("b", score=None))
    assert found.worst("score", 1, subject="s") == (None, "b")


def test_what_was_not_measured_is_told():
    found = report_of("loss", series("a"))
    with pytest.raises(UsageError, match="5 liars were not measured"):
        found.series[0].at("score", 5)
    with pytest.raises(UsageError, match="nothing was measured with 5 liars"):
        found.worst("score", 5, subject="s")


def test_findings_say_which_rules_let_tokens_go_astray():
    bad = series("a", misrouted=0.5)
    (held,) = [t for t in findings(report_of("accuracy", series("a"))) if "1 of them" in t]
    (lost,) = [t for t in findings(report_of("accuracy", bad)) if "1 of them" in t]
    assert "no token is misrouted under any attack by median" in held
    assert "most tokens misrouted by any attack: median 50.0% (a)" in lost


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, "-"),
        (0.0, "0.0%"),
        (1e-6, "<0.1%"),
        (0.5, "50.0%"),
        (0.99999, "99.9%"),
        (1.0, "100.0%"),
    ],
)
def test_a_share_that_is_there_is_not_shown_as_none_nor_one_that_lacks_as_all(value, told):
    assert share(value) == told


def test_scores_are_shown_in_their_unit():
    assert (scored("accuracy", 0.5), scored("loss", 1.5), scored("loss", None)) == (
        "50.0%",
        "1.500",
        "NaN",
    )


@pytest.mark.parametrize(
    ("worst", "bound", "told"),
    [
        (None, None, "n/a"),
        (1.5, None, "1.5 of ?"),
        (1.5, 4.0, "1.5 of 4"),
        (5925.1, "inf", "5,925 of no bound"),
        ("inf", "inf", "inf of no bound"),
    ],
)
def test_a_cell_says_what_was_measured_and_what_is_proven(worst, bound, told):
    row = {"worst": worst, "bound": bound}
    assert measured_of(row) == told
    assert brief_of(row) == told.replace(" of ", "/").replace("no bound", "none")


def test_what_has_no_answer_is_told_where_none_is_misrouted():
    found = findings(report_of("accuracy", series("a", void=1.0)))
    (told,) = [text for text in found if "one more than is promised" in text]
    assert "none is misrouted" in told
    assert "up to 100.0% have no answer that could be served" in told
