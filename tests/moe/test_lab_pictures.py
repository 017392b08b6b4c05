"""The lab's pictures: drawn from the committed numbers, the same each time."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

pytest.importorskip("matplotlib", reason="needs quorate[plots]")

from quorate.moe.lab.findings import headline
from quorate.moe.lab.kappa import kappa_picture
from quorate.moe.lab.plots import pictures
from quorate.moe.lab.report import Report

LAB = Path(__file__).parents[2] / "docs" / "lab"


@pytest.fixture(scope="module")
def numbers():
    return json.loads((LAB / "moe.json").read_text())


@pytest.fixture(scope="module")
def drawn(numbers):
    """Every picture; of the digits' no PNG, which is drawn as the others' are."""
    from matplotlib.figure import Figure

    save = Figure.savefig

    def save_svg(figure, held, **options):
        if options["format"] == "svg":
            save(figure, held, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", save_svg)
        made = pictures(Report.from_dict(of_one(numbers, "digits")))
    told = json.loads((LAB / "fusion.json").read_text())
    made = {name: content for name, content in made.items() if name.endswith(".svg")}
    return made | pictures(Report.from_dict(of_one(numbers, "text"))) | kappa_picture(told)


def test_every_committed_picture_is_one_that_is_drawn(drawn):
    # Pages show the SVG; the PNG beside it, for slides, would only make the repository heavy.
    there = {path.name for path in LAB.iterdir() if path.suffix in {".png", ".svg"}}
    assert there == {name for name in drawn if name.endswith(".svg")}


def test_pictures_are_whole_and_drawn_the_same_again(drawn, numbers):
    for name, content in drawn.items():
        if name.endswith(".png"):
            assert content.startswith(b"\x89PNG")
        else:
            assert parsed(content).tag.endswith("svg")
    again = pictures(Report.from_dict(of_one(numbers, "text")))
    assert len(again) == 2 * len(
        {name for name in drawn if name.startswith("moe-text-") and name.endswith(".svg")}
    )
    assert all(drawn[name] == content for name, content in again.items())


def of_one(numbers, subject):
    """What was measured of one model alone."""
    series = [one for one in numbers["series"] if one["subject"] == subject]
    return dict(numbers, series=series, subjects={subject: numbers["subjects"][subject]})


def parsed(content):
    return ET.fromstring(content)  # noqa: S314 - drawn by this process


def words(content):
    return " ".join(text for text in parsed(content).itertext() if text.strip())


def test_ids_are_of_one_picture_alone(drawn):
    ids = [
        (one.get("id"), name)
        for name, content in drawn.items()
        if name.endswith(".svg")
        for one in parsed(content).iter()
        if (one.get("id") or "").startswith(("moe-", "fusion-"))
    ]
    assert ids
    assert len({found for found, _ in ids}) == len(ids)


def test_the_headings_are_what_was_measured(drawn, numbers):
    report = Report.from_dict(numbers)
    for subject in report.subjects:
        one = report.one(subject=subject, rule="plain gate", attack="flipped_bit")
        moved, score = one.at("misrouted", 1), one.at("score", 1)
        shown = f"{score:.1%}" if subject == "digits" else f"{score:.3f}"
        for kind in ("attacks", "tokens"):
            told = words(drawn[f"moe-{subject}-{kind}.svg"])
            assert f"one flipped bit misroutes {moved:.1%} of one gate's tokens" in told
            assert "7 copies, 2 of them lying: no token moves under any rule but mean" in told
        told = words(drawn[f"moe-{subject}-liars.svg"])
        assert "one flipped bit takes one gate's" in told
        assert f"to {shown} 7 copies, 2 of them lying" in " ".join(told.split())


def test_a_heading_claims_only_what_holds(numbers):
    series = [dict(one, misrouted=list(one["misrouted"])) for one in numbers["series"]]
    for one in series:
        if (one["replicas"], one["n"], one["attack"]) == ("copies", 7, "sign_flip"):
            one["misrouted"][1] = 0.5
    told = headline(Report.from_dict(dict(numbers, series=series)), "digits", 7)
    assert told.endswith("7 copies, 2 of them lying, beside it")


def test_the_curves_name_every_rule_and_the_bound(drawn, numbers):
    told = words(drawn["moe-digits-liars.svg"])
    report = Report.from_dict(numbers)
    for rule in report.rules_of("digits", 7):
        assert rule.replace("_", " ") in " ".join(told.split())
    assert "promised: up to f = 2 liars" in told
    assert f"worst of {len(report.lying())} attacks on replicas" in told


def test_poisoning_is_drawn_to_where_it_wins_with_the_price_of_being_safe(drawn, numbers):
    told = words(drawn["moe-digits-poisoned.svg"])
    report = Report.from_dict(numbers)
    wanted = {"subject": "digits", "replicas": "apart", "n": 7, "rule": "median"}
    refused = report.one(**wanted, attack="no attack").at("refused", 0)
    assert f"{refused:.1%}" in told
    assert "4 poisoned, more than f" in told
    assert "Promised: up to f = 2 of 7. Grey: more than f" in told


def test_no_answer_is_not_shown_as_refused_nor_as_served(drawn):
    told = words(drawn["moe-digits-tokens.svg"])
    assert "always served" not in told
    for name in ("no answer: too few replicas send numbers", "refused: no quorum"):
        assert name in told


def test_the_two_token_pictures_show_their_own_numbers(drawn):
    heights = [
        {path.get("d") for path in parsed(drawn[f"moe-{name}-tokens.svg"]).iter() if path.get("d")}
        for name in ("digits", "text")
    ]
    assert heights[0] != heights[1]


def test_kappa_is_drawn_as_it_was_measured_least_on_top(drawn):
    told = words(drawn["fusion-kappa.svg"])
    rows = json.loads((LAB / "fusion.json").read_text())["rows"]
    worst = {}
    for row in rows:
        if row["worst"] is not None:
            worst[row["rule"]] = max(worst.get(row["rule"], 0.0), row["worst"])
    labels = [
        text.strip()
        for text in parsed(drawn["fusion-kappa.svg"]).itertext()
        if text.strip().replace(" ", "_") in {row["rule"] for row in rows}
    ]
    ranked = [name.replace("_", " ") for name in sorted(worst, key=worst.__getitem__)]
    assert [name for name in labels if name != "bucketing+median"] == ranked
    assert "bucketing+median" in labels
    assert "not applicable: with 4 liars it needs at least 17 replicas" in told
    assert "Too few replicas at n = 4: krum, multi krum, nnm+krum" in told
    assert "no bound exists" in told


def test_the_heat_map_shows_what_was_measured(drawn, numbers):
    told = words(drawn["moe-digits-attacks.svg"])
    report = Report.from_dict(numbers)
    for attack in report.lying():
        assert attack.replace("_", " ") in told
        value = report.one(subject="digits", rule="plain gate", attack=attack).at("misrouted", 1)
        assert ("0" if value == 0 else f"{value:.0%}") in told


def test_attacks_on_training_alone_have_a_picture_too(numbers):
    kept = {"poisoned_training", "no attack"}
    text = of_one(numbers, "text")
    alone = dict(
        text,
        attacks={"poisoned_training": numbers["attacks"]["poisoned_training"]},
        series=[one for one in text["series"] if one["attack"] in kept],
    )
    assert set(pictures(Report.from_dict(alone))) == {
        f"moe-text-poisoned.{kind}" for kind in ("png", "svg")
    }
