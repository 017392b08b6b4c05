"""The demo: its figures, its record, and what it must never do."""

from __future__ import annotations

import io
import json
import sqlite3
import stat
import sys
from contextlib import closing
from dataclasses import replace
from fractions import Fraction

import pytest
from rich.console import Console

pytest.importorskip("sklearn", reason="the demo needs scikit-learn: pip install 'quorate[demo]'")

from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier

from quorate.arbitration import Decision
from quorate.cli.app import run as run_command
from quorate.cli.demo import cases as cases_module
from quorate.cli.demo import check_picture, render, run_demo, save_picture
from quorate.cli.demo import story as story_module
from quorate.cli.demo.cases import (
    FAMILIES,
    Scenario,
    Trained,
    heard,
    labels,
    scenarios,
    train,
)
from quorate.cli.demo.deciding import QUORUM
from quorate.cli.demo.draws import by_rule, draws
from quorate.cli.demo.methods import best_single, compare, majority
from quorate.cli.demo.story import CHECKPOINT, LEDGER, PUBLIC
from quorate.core.errors import OperationalError, UsageError
from quorate.ledger import Ledger, read_signer, read_verifier

SLOWEST = (GradientBoostingClassifier, RandomForestClassifier)
METHODS = {"best_single", "majority", "soft_vote", "quorate"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("demo") / "kept"


@pytest.fixture(scope="module")
def kept_training():
    return []


@pytest.fixture(scope="module")
def report(folder, kept_training):
    def training(cases, step):
        trained = train(cases, step)
        kept_training.append((cases, trained))
        return trained

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(story_module, "train", training)
        return run_demo(folder)


@pytest.fixture(scope="module")
def cases(report, kept_training):
    return kept_training[0][0]


@pytest.fixture(scope="module")
def trained(report, kept_training):
    return kept_training[0][1]


@pytest.fixture(scope="module")
def sealed(report, folder):
    """The answers that the kept ledger holds, by run: one per held-out patient, in order."""
    with Ledger.open(
        f"sqlite:///{folder / LEDGER}", verify_with=[read_verifier(folder / PUBLIC)]
    ) as log:
        receipts = [receipt for receipt in log if receipt.kind != "panel"]
    answers = {scenario.id: [] for scenario in scenarios()}
    for receipt in receipts:
        verdict = receipt.payload["verdict"]
        run, _, patient = receipt.payload["task"]["id"].partition("/patient-")
        answer = Decision.from_dict(verdict).consensus if receipt.kind == "decision" else None
        answers[run].append((int(patient), answer))
    return answers


def naive(said, absent):
    """The rule in its plainest form, for one patient: what each says, as (label, confidence)."""
    for label in {label for label, _ in said}:
        votes = sum(sure for named, sure in said if named == label)
        heads = sum(named == label for named, _ in said)
        support = votes / (sum(sure for _, sure in said) + absent)
        backing = Fraction(heads, len(said) + absent)
        if support >= Fraction(66, 100) and backing >= Fraction(66, 100):
            return label
    return None


def naive_answers(scenario, cases, trained):
    said = heard(scenario, trained.predictions, cases.truth)
    rows = []
    for row in range(len(cases.truth)):
        voices = []
        for probabilities in said.values():
            ill = Fraction(repr(float(probabilities[row])))
            voices.append(("malignant", ill) if ill >= Fraction(1, 2) else ("benign", 1 - ill))
        rows.append(naive(voices, len(scenario.down)))
    return rows


def figures(report):
    """All that may not differ between two runs."""
    return {
        "data": report["data"],
        "experts": report["experts"],
        "best": report["best_single"],
        "kinds": report["ledger"]["kinds"],
        "scenarios": [
            {
                **run,
                "methods": {
                    name: {key: value for key, value in one.items() if key != "seconds"}
                    for name, one in run["methods"].items()
                },
            }
            for run in report["scenarios"]
        ],
        "found": [one["found"] for one in report["tampering"]],
    }


def test_four_runs_by_four_methods_over_all_held_out_patients(report):
    assert len(report["scenarios"]) == 4
    for run in report["scenarios"]:
        assert set(run["methods"]) == METHODS
        for one in run["methods"].values():
            assert one["right"] + one["wrong"] + one["refused"] == report["data"]["held_out"]
            assert 0 <= one["wrong"] <= one["most_wrong"]
            assert one["seconds"] > 0
    assert report["data"]["patients"] == 569
    assert report["data"]["trained_on"] + report["data"]["held_out"] == 569


def test_liars_and_the_down_are_as_many_as_the_runs_say(report):
    counts = [(len(run["liars"]), len(run["down"])) for run in report["scenarios"]]
    assert counts == [(0, 0), (2, 0), (1, 1), (2, 1)]
    for run in report["scenarios"]:
        assert not set(run["liars"]) & set(run["down"])


def test_every_verdict_of_quorate_is_sealed_verified_and_replayed(report):
    record = report["ledger"]
    patients = report["data"]["held_out"]
    assert record["verified"]
    assert record["complete"]
    assert record["size"] == record["replayed"] == record["proven"] == 4 * patients + 1
    refused = sum(run["methods"]["quorate"]["refused"] for run in report["scenarios"])
    assert record["kinds"] == {
        "panel": 1,
        "refusal": refused,
        "decision": 4 * patients - refused,
    }


def test_the_ledger_holds_what_the_figures_say(report, sealed, cases):
    truth = labels(cases.truth)
    for run in report["scenarios"]:
        patients, answers = zip(*sealed[run["id"]], strict=True)
        assert patients == cases.patients
        found = compare(answers, truth, 0.0)
        quorate = run["methods"]["quorate"]
        assert (found.right, found.wrong, found.refused) == (
            quorate["right"],
            quorate["wrong"],
            quorate["refused"],
        )


@pytest.mark.parametrize("scenario", scenarios(), ids=lambda s: s.id)
def test_sealed_verdicts_are_those_of_the_naive_rule(scenario, sealed, cases, trained):
    answers = [answer for _, answer in sealed[scenario.id]]
    assert answers == naive_answers(scenario, cases, trained)
    said = heard(scenario, trained.predictions, cases.truth)
    assert answers == by_rule(said, len(scenario.down), QUORUM)


def test_with_four_honest_of_seven_nothing_right_is_committed(report, sealed, cases, trained):
    scenario = scenarios()[3]
    assert report["scenarios"][3]["methods"]["quorate"]["right"] == 0
    # What is committed wrongly takes five of seven: both liars, and three honest that err.
    said = heard(scenario, trained.predictions, cases.truth)
    truth = labels(cases.truth)
    honest = [labels(said[name]) for name in said if name not in scenario.liars]
    for row, (_, answer) in enumerate(sealed[scenario.id]):
        err = sum(spoken[row] != truth[row] for spoken in honest)
        assert answer is None or err >= 3


def test_for_any_draw_no_right_commit_with_four_honest_and_no_wrong_one_without_three_that_err(
    cases, trained
):
    truth = labels(cases.truth)
    for drawn in draws(scenarios()[3]):
        said = heard(drawn, trained.predictions, cases.truth)
        answers = by_rule(said, 1, QUORUM)
        assert compare(answers, truth, 0.0).right == 0
        honest = [labels(said[name]) for name in said if name not in drawn.liars]
        for row, answer in enumerate(answers):
            if answer is not None:
                assert sum(spoken[row] != truth[row] for spoken in honest) >= 3


@pytest.mark.parametrize("scenario", scenarios(), ids=lambda s: s.id)
def test_quorate_is_wrong_only_where_the_majority_is_wrong_too(scenario, sealed, cases, trained):
    # Five of seven are more than half of those who answered, however many are absent.
    said = heard(scenario, trained.predictions, cases.truth)
    truth = labels(cases.truth)
    for (_, ours), theirs, true in zip(sealed[scenario.id], majority(said), truth, strict=True):
        assert ours is None or ours == theirs
        if ours not in (None, true):
            assert theirs != true


def test_draws_are_all_of_them():
    assert [sum(1 for _ in draws(scenario)) for scenario in scenarios()] == [1, 21, 42, 105]


def test_a_down_expert_is_an_absence_that_crashed(report, folder):
    run = report["scenarios"][2]
    with Ledger.open(f"sqlite:///{folder / LEDGER}") as log:
        body = log.get(run["entries"][0]).payload
    (absence,) = body["absences"]
    assert absence["expert_id"] == run["down"][0]
    assert absence["reason"] == "crashed"
    assert absence["detail"].startswith("ConnectionError")
    lies = {p["expert_id"]: p["confidence"] for p in body["proposals"]}
    assert lies[run["liars"][0]] == "1"
    assert len(body["roster"]) == 7


def test_the_example_to_explain_is_a_refusal(report, folder):
    with Ledger.open(f"sqlite:///{folder / LEDGER}") as log:
        assert log.get(report["scenarios"][1]["example"]).kind == "refusal"


def test_tampering_is_found_at_the_right_entry_under_the_right_rule(report):
    flip, cut = report["tampering"]
    size = report["ledger"]["size"]
    assert flip["found"] == {"index": flip["seq"], "rule": "commitment"}
    assert flip["seq"] == size // 2
    assert f"entry {flip['seq']}" in flip["message"]
    assert flip["before"] != flip["after"]
    assert cut["found"] == {"index": size - 3, "rule": "truncation"}
    assert report["sound"]


def test_what_is_kept_is_whole_private_and_untouched_by_the_tampering(report, folder):
    # Reading a database in WAL mode may leave an empty -wal and a -shm beside it.
    names = {path.name.removesuffix("-wal").removesuffix("-shm") for path in folder.iterdir()}
    assert names == {CHECKPOINT, "keys", LEDGER}
    key = folder / "keys" / "ledger.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    with Ledger.open(f"sqlite:///{folder / LEDGER}", signer=read_signer(key)) as log:
        note = (folder / CHECKPOINT).read_text("utf-8")
        assert log.verify(note, replay=True).to_dict() == report["ledger"]
    assert report["kept"]["ledger"] == f"sqlite:///{folder / LEDGER}"


def test_a_folder_with_a_ledger_is_refused_and_left_alone(report, folder):
    before = (folder / LEDGER).read_bytes()
    names = {path.name for path in folder.iterdir()}
    with pytest.raises(UsageError, match=r"ledger\.db is there already"):
        run_demo(folder)
    assert (folder / LEDGER).read_bytes() == before
    assert {path.name for path in folder.iterdir()} == names


def test_a_folder_that_cannot_be_made_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(story_module, "train", lambda cases, step: None)
    (tmp_path / "file").write_text("")
    with pytest.raises(OperationalError, match="file"):
        run_demo(tmp_path / "file" / "below")


def test_an_interrupted_demo_leaves_nothing(tmp_path, monkeypatch):
    def stopped(*_args):
        raise KeyboardInterrupt

    monkeypatch.setattr(story_module, "train", lambda cases, step: None)
    monkeypatch.setattr(story_module, "open_panel", stopped)
    with pytest.raises(KeyboardInterrupt):
        run_demo(tmp_path / "kept")
    assert list((tmp_path / "kept").iterdir()) == []


def test_two_runs_give_the_same_figures_and_nothing_is_kept(report, trained, monkeypatch):
    guess = cases_module.cross_val_predict

    def guess_again(model, measurements, diagnoses, **options):
        """The folds of the two slowest took most of the time; they are fitted whole below."""
        if isinstance(model, SLOWEST):
            return diagnoses
        return guess(model, measurements, diagnoses, **options)

    def train_again(cases, step):
        again = train(cases, step)
        assert set(again.predictions) == set(trained.predictions)
        for name, told in trained.predictions.items():
            assert (again.predictions[name] == told).all()
        kept = {n: k for n, k in again.cross_validated.items() if k != len(cases.diagnoses)}
        assert len(kept) == len(FAMILIES) - len(SLOWEST)
        assert kept.items() <= trained.cross_validated.items()
        return replace(again, cross_validated=trained.cross_validated, best=trained.best)

    monkeypatch.setattr(cases_module, "cross_val_predict", guess_again)
    monkeypatch.setattr(story_module, "train", train_again)
    again = run_demo()
    assert figures(again) == figures(report)
    assert again["kept"] is None
    assert again["ledger"]["root"] != report["ledger"]["root"]  # other keys, salts and times


def test_the_report_is_json(report):
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert set(report["seconds"]) == {
        "loading",
        "training",
        "deciding",
        "other draws",
        "verifying",
        "tampering",
        "total",
    }


def test_the_best_single_model_is_chosen_on_the_training_part(report):
    most = max(expert["cross_validated"] for expert in report["experts"])
    (first, *_) = [e["id"] for e in report["experts"] if e["cross_validated"] == most]
    assert report["best_single"] == first
    assert [expert["id"] for expert in report["experts"]] == sorted(FAMILIES)


def test_best_single_lies_or_is_gone_with_its_model(cases, trained):
    truth = labels(cases.truth)
    lying = Scenario("x", "x", "x", liars=(trained.best,))
    said = heard(lying, trained.predictions, cases.truth)
    assert compare(best_single(said, trained.best, len(truth)), truth, 0.0).wrong == len(truth)
    down = Scenario("x", "x", "x", down=(trained.best,))
    said = heard(down, trained.predictions, cases.truth)
    assert best_single(said, trained.best, len(truth)) == [None] * len(truth)


def test_majority_refuses_ties(cases, trained):
    pair = Trained(
        dict.fromkeys(("a", "b"), trained.predictions["svm"]), trained.cross_validated, "a"
    )
    split = heard(Scenario("x", "x", "x"), pair.predictions, cases.truth)
    split["b"] = 1 - split["a"]
    assert set(majority(split)) == {None}


def text_of(report, width=80):
    console = Console(file=io.StringIO(), width=width)
    render(report, console)
    return console.file.getvalue()


def test_the_story_fits_a_terminal_of_80_columns(report, folder):
    shown = text_of(report)
    lines = [line for line in shown.splitlines() if str(folder) not in line]
    assert max(len(line.rstrip()) for line in lines) <= 80
    assert f"verified {report['ledger']['size']} entries" in shown
    assert f"replayed {report['ledger']['replayed']}" in " ".join(shown.split())
    assert shown.count("Quorate  ") == 4
    assert "✗" not in shown
    for command in report["kept"]["commands"]:
        assert f"  {command}\n" in shown


def test_a_tampering_that_went_unnoticed_would_be_shouted(report):
    missed = {**report["tampering"][0], "found": None, "message": "nothing was noticed"}
    shown = text_of({**report, "tampering": [missed], "kept": None})
    assert "✗" in shown
    assert "NOT CAUGHT" in shown
    assert "--keep FOLDER" in shown


def test_the_picture_is_an_svg_that_fetches_nothing(report, tmp_path):
    save_picture(report, tmp_path / "demo.svg")
    picture = (tmp_path / "demo.svg").read_text("utf-8")
    assert picture.startswith("<svg")
    assert "@font-face" not in picture
    assert "url(http" not in picture
    with pytest.raises(OperationalError, match="cannot be written"):
        save_picture(report, tmp_path / "none" / "demo.svg")


@pytest.fixture
def no_demo(monkeypatch):
    """A demo that is not to begin."""

    def begun(*_args):
        raise AssertionError("the demo began")

    monkeypatch.setattr("quorate.cli.demo.run_demo", begun)


@pytest.mark.usefixtures("no_demo")
@pytest.mark.parametrize("name", ["none/x.svg", "folder", "file/x.svg"])
def test_a_place_where_no_picture_can_be_is_refused_before_the_work(tmp_path, capsys, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    assert run_command(["demo", "--svg", str(tmp_path / name)]) == 5
    said = capsys.readouterr().err
    assert said.startswith("error: the picture")
    assert "cannot be written" in said


def test_a_picture_may_go_where_the_record_is_kept(tmp_path):
    check_picture(tmp_path / "kept" / "x.svg", tmp_path / "kept")
    check_picture(tmp_path / "x.svg")
    with pytest.raises(OperationalError, match="there is no folder"):
        check_picture(tmp_path / "kept" / "x.svg", tmp_path / "other")


def test_without_a_terminal_one_line_says_that_it_began(report, monkeypatch, capsys):
    monkeypatch.setattr("quorate.cli.demo.run_demo", lambda _folder: report)
    assert run_command(["demo", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == report
    assert len(err.splitlines()) == 1
    assert err.startswith("training seven models, then deciding")


def test_the_story_says_that_refusing_is_the_point_of_run_4(report):
    shown = " ".join(text_of(report).split())
    last = report["scenarios"][3]["methods"]["quorate"]
    assert "Here refusing is the point: the four honest are too few for a quorum" in shown
    assert f"so {last['refused']} of 228 patients are left to a doctor" in shown
    assert f"The {last['wrong']} wrong commits are failures." in shown


def test_without_scikit_learn_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(OperationalError, match=r'pip install "quorate\[demo\]"'):
        run_demo(tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


def test_the_flipped_byte_is_one_byte(report, folder):
    flip = report["tampering"][0]
    with closing(sqlite3.connect(folder / LEDGER)) as db:
        (body,) = db.execute("SELECT body FROM entries WHERE seq = ?", (flip["seq"],)).fetchone()
    assert body[flip["byte"]] == flip["before"]
    assert ord(flip["before"]) ^ ord(flip["after"]) == 1
