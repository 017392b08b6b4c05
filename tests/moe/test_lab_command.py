"""``quorate bench moe`` itself, from training to pictures."""

import json

import pytest

pytest.importorskip("torch", reason="needs quorate[torch]")
pytest.importorskip("sklearn", reason="needs quorate[moe]")
pytest.importorskip("matplotlib", reason="needs quorate[plots]")

from quorate.cli.app import run
from quorate.moe.lab.report import Report
from quorate.moe.lab.tables import markdown

SMALL = ("bench", "moe", "--quick", "--model", "digits", "--rule", "median", "--rule", "mean")
ATTACKS = ("--attack", "sign_flip", "--attack", "replaced_gate")


@pytest.fixture
def quorate(capfd):
    def call(*arguments):
        capfd.readouterr()
        return run([str(argument) for argument in arguments]), *capfd.readouterr()

    return call


def test_it_writes_the_same_numbers_that_it_prints(quorate, tmp_path):
    code, out, err = quorate(*SMALL, *ATTACKS, "--json", "--out", tmp_path)
    assert (code, "this takes about a minute" in err) == (0, True)
    told = json.loads(out)
    assert json.loads((tmp_path / "moe.json").read_text()) == told
    assert (tmp_path / "moe.md").read_text() == markdown(Report.from_dict(told))
    kinds = {"liars", "attacks", "tokens"}
    pictures = {f"moe-digits-{kind}.{ending}" for kind in kinds for ending in ("png", "svg")}
    assert {path.name for path in tmp_path.iterdir()} == {"moe.json", "moe.md"} | pictures


def test_a_part_of_it_has_its_pictures_too(quorate, tmp_path):
    only = ("--rule", "vote", "--attack", "nan", "--attack", "poisoned_training")
    arguments = ("bench", "moe", "--quick", "--model", "digits", *only, "--out", tmp_path)
    assert quorate(*arguments)[0] == 0
    assert len([path for path in tmp_path.iterdir() if path.suffix == ".png"]) == 4


def test_people_see_tables_and_what_they_come_to(quorate):
    code, out, _ = quorate(*SMALL, *ATTACKS)
    assert code == 0
    lines = [line.split() for line in out.splitlines()]
    (median,) = [line for line in lines if line[:1] == ["median"] and len(line) == 3]
    assert median == ["median", "0", "0"]
    (plain,) = [line for line in lines if line[:2] == ["plain", "gate"]]
    assert plain[2] == "100"
    assert "digits: 4 copies, 1 of them lying: no token is misrouted under any attack by" in out


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (("--model", "faces"), "'faces' is no model; there is digits, text"),
        (("--attack", "shouting"), "'shouting' is no attack"),
        (("--replicas", "3"), "3 replicas; give 4 to 7"),
        (("--rule", "dice"), "rule is 'dice'"),
        (("--rule", "krum", "--replicas", "4"), "krum with 1 liar needs at least 5"),
        (("--seed", "-1"), "--seed"),
    ],
)
def test_bad_options_are_told_before_the_training(quorate, monkeypatch, wrong, told):
    monkeypatch.setattr("quorate.moe.lab.digits.trained", None)
    code, _, err = quorate("bench", "moe", "--quick", *wrong)
    assert (code, told in err) == (2, True), err
