"""The lab's pictures: drawn from the committed numbers, the same each time."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

pytest.importorskip("matplotlib", reason="needs quorate[plots]")

from quorate.moe.lab.kappa import kappa_picture
from quorate.moe.lab.plots import pictures
from quorate.moe.lab.report import Report

LAB = Path(__file__).parents[2] / "docs" / "lab"


@pytest.fixture(scope="module")
def numbers():
    return json.loads((LAB / "moe.json").read_text())


@pytest.fixture(scope="module")
def drawn(numbers):
    told = json.loads((LAB / "fusion.json").read_text())
    return pictures(Report.from_dict(numbers)) | kappa_picture(told)


def test_every_committed_picture_is_one_that_is_drawn(drawn):
    assert {path.name for path in LAB.iterdir() if path.suffix in {".png", ".svg"}} == set(drawn)


def test_pictures_are_whole_and_drawn_the_same_again(drawn, numbers):
    for name, content in drawn.items():
        if name.endswith(".png"):
            assert content.startswith(b"\x89PNG")
        else:
            assert parsed(content).tag.endswith("svg")
    again = pictures(Report.from_dict(numbers))
    assert all(drawn[name] == content for name, content in again.items())


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


def test_the_curves_name_the_plain_gate_and_the_bound(drawn):
    told = words(drawn["moe-digits-liars.svg"])
    assert "plain gate, 1 of 1 lying" in told
    assert "up to f = 2 liars are borne" in told


def test_the_heat_map_shows_what_was_measured(drawn, numbers):
    told = words(drawn["moe-digits-attacks.svg"])
    report = Report.from_dict(numbers)
    for attack in report.lying():
        assert attack.replace("_", " ") in told
        value = report.one(subject="digits", rule="plain gate", attack=attack).at("misrouted", 1)
        assert ("0" if value == 0 else f"{value:.0%}") in told


def test_attacks_on_training_alone_have_a_picture_too(numbers):
    kept = {"poisoned_training", "no attack"}
    alone = dict(
        numbers,
        attacks={"poisoned_training": numbers["attacks"]["poisoned_training"]},
        series=[one for one in numbers["series"] if one["attack"] in kept],
    )
    assert set(pictures(Report.from_dict(alone))) == {
        f"moe-{name}-poisoned.{kind}" for name in ("digits", "text") for kind in ("png", "svg")
    }
