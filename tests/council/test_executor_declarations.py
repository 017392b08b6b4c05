"""What is declared of executors and hooks: secrets by name, sealed names, where telling begins."""

import sys

import pytest
from council_executions import approved, ran
from council_tools import council

from quorate.core.errors import OperationalError, UsageError
from quorate.council import Execution, insight, study
from quorate.council.executors import (
    CommandExecutor,
    DeclaredExecutor,
    Executor,
    Executors,
    Report,
    declaration_digest,
)
from quorate.council.notify import CommandHook, Notifier

SECRET = "s3cret/value"
SAYS = "import os, sys; sys.stdout.write({out}); sys.stderr.write({err}); sys.exit({code})"
TOKEN = "os.environ['OPS_TOKEN']"


def saying(out="''", err="''", code=0, **options):
    program = SAYS.format(out=out, err=err, code=code)
    options = {"pass_env": ["OPS_TOKEN"]} | options
    return CommandExecutor([sys.executable, "-c", program], timeout=30, **options)


@pytest.fixture
def _token(monkeypatch):
    monkeypatch.setenv("OPS_TOKEN", SECRET)
    monkeypatch.setenv("OTHER_TOKEN", "of somebody else")


def sealed(ledger):
    return "".join(str(receipt.payload) for receipt in ledger)


@pytest.mark.usefixtures("_token")
def test_a_program_gets_the_variables_that_are_named_and_no_others(ledger):
    listed = "' '.join(sorted(n for n in os.environ if n.endswith('TOKEN')))"
    result = ran(approved(ledger), saying(listed))
    assert result.detail["output"] == "OPS_TOKEN"


@pytest.mark.usefixtures("_token")
@pytest.mark.parametrize(
    ("program", "outcome"),
    [
        ({"out": TOKEN}, "executed"),
        ({"err": f"'it was ' + {TOKEN}"}, "executed"),
        ({"out": TOKEN, "code": 1}, "unknown"),
        # The second spells the secret in JSON's own way.
        ({"out": f'\'{{"outcome": "failed", "detail": "\' + {TOKEN} + \'"}}\''}, "failed"),
        (
            {
                "out": f'\'{{"outcome": "executed", "detail": "\' + '
                f"{TOKEN}.replace('/', chr(92) + '/') + '\"}}'"
            },
            "executed",
        ),
        ({"out": f"'{{\"outcome\": \"' + {TOKEN} + '\"}}'"}, "unknown"),
    ],
)
def test_what_holds_a_secret_is_not_sealed_and_the_outcome_stands(ledger, program, outcome):
    result = ran(approved(ledger), saying(**program))
    assert result.execution == outcome
    assert SECRET not in sealed(ledger)
    assert "s3cret" not in sealed(ledger)
    assert "it is not kept" in str(result.detail)


def test_short_values_are_no_secrets(ledger, monkeypatch):
    monkeypatch.setenv("OPS_TOKEN", "1")
    assert ran(approved(ledger), saying("'1 done'")).detail["output"] == "1 done"


def test_an_unset_variable_begins_nothing(ledger, monkeypatch):
    monkeypatch.delenv("OPS_TOKEN", raising=False)
    c = approved(ledger)
    with pytest.raises(OperationalError, match=r"OPS_TOKEN, which .* is to be passed, is not set"):
        ran(c, saying())
    assert c.get_proposal("p1").execution is Execution.NONE


@pytest.mark.parametrize("names", [["s3cret value"], [7], "a-b"])
def test_what_is_no_name_is_refused_and_not_repeated(names):
    with pytest.raises(UsageError, match="no name of an environment variable") as told:
        CommandExecutor(["true"], pass_env=names)
    assert "s3cret" not in str(told.value)
    with pytest.raises(UsageError, match="set by env and passed on"):
        CommandExecutor(["true"], env={"A": "1"}, pass_env=["A"])


@pytest.mark.usefixtures("_token")
def test_a_hook_keeps_its_secret_too(ledger):
    c = council(ledger=ledger)
    c.propose("a", "restrict", "x")
    program = SAYS.format(out="''", err=f"'no: ' + {TOKEN}", code=1)
    hook = CommandHook("ear", [sys.executable, "-c", program], pass_env=["OPS_TOKEN"], timeout=30)
    (notice,) = Notifier(c, [hook], attempts=1).deliver(0)
    assert (notice.outcome, "it is not kept" in notice.detail) == ("failed", True)
    assert "s3cret" not in sealed(ledger)


def test_a_program_beside_the_working_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "act.sh").write_text("#!/bin/sh\n")
    with pytest.raises(OperationalError, match="there is no program"):
        CommandExecutor(["./act.sh"], cwd=".").check()
    (tmp_path / "act.sh").chmod(0o755)
    CommandExecutor(["./act.sh"], cwd=".").check()


class Quiet:
    """An executor whose name is as long as it may be."""

    name, timeout = "command:" + "x" * 248, 3.0

    def check(self):
        raise OperationalError("not now")

    def carry_out(self, order):
        return Report("executed", order.target)


def test_a_declaration_is_sealed_by_kind_and_digest(ledger):
    declaration = {"kind": "command", "command": ["x"]}
    made = DeclaredExecutor(Quiet(), "quarantine", declaration)
    assert isinstance(made, Executor)
    assert made.digest == declaration_digest("quarantine", declaration)
    assert (len(made.name), made.name[:9]) == (256, "command:x")
    assert made.name.endswith("#" + made.digest)
    c = approved(ledger)
    executors = Executors(c)
    executors.register("quarantine", made)
    with pytest.raises(OperationalError, match="not now"):
        executors.run("p1")
    made.check = lambda: None
    assert executors.run("p1").detail == "agent-7"
    (begun,) = [entry for entry in c.audit_log if entry.event == "intent"]
    assert begun.details["executor"] == made.name


@pytest.mark.parametrize(
    "other",
    [
        ("restrict", {"kind": "command", "command": ["x"]}),
        ("quarantine", {"kind": "command", "command": ["x", ""]}),
        ("quarantine", {"kind": "command", "command": ["x"], "timeout": "60"}),
    ],
)
def test_another_declaration_has_another_digest(other):
    assert declaration_digest(*other) != declaration_digest(
        "quarantine", {"kind": "command", "command": ["x"]}
    )


def test_telling_begins_where_it_is_said_for_each_hook(ledger):
    class Ear:
        def __init__(self, name):
            self.name, self.events, self.heard = name, frozenset({"proposed"}), 0

        def deliver(self, message, id_):
            self.heard += 1

    c = council(ledger=ledger)
    c.propose("a", "restrict", "x")
    size = len(ledger)
    c.propose("a", "restrict", "y")
    early, late = Ear("early"), Ear("late")
    Notifier(c, [early, late], start={"late": size}).deliver(0)
    assert (early.heard, late.heard) == (2, 1)
    with pytest.raises(UsageError, match="which are no hooks"):
        Notifier(c, [early], start={"late": 0})
    with pytest.raises(UsageError, match="start is -1"):
        Notifier(c, [early], start={"early": -1})
    with pytest.raises(UsageError, match="start is -1"):
        Notifier(c, [early], start=-1)


def test_the_study_can_be_had_from_insight_and_from_the_council(told):
    assert insight.study is study.study
    assert insight.Study is study.Study
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        insight.nothing  # noqa: B018 - that it is not there
    plain = told.study(0.5, 1, probabilities=False)
    assert isinstance(plain, insight.Study)
    assert plain.blocs
    assert {bloc.probability for bloc in plain.blocs} == {None}
    assert "Probability" not in plain.describe()


def test_without_probabilities_all_else_is_the_same(told):
    pytest.importorskip("networkx", reason="needs quorate[insight]")
    pytest.importorskip("scipy", reason="needs quorate[insight]")
    plain, whole = told.study(0.5, 1, probabilities=False).to_dict(), told.study(0.5, 1).to_dict()
    for bloc in (*plain["blocs"], *whole["blocs"]):
        del bloc["probability"], bloc["corrected"]
    assert plain == whole
