"""From an approval to its execution: at most once, and never silently again."""

import pytest
from council_tools import council, verify_all

from quorate.core.errors import UsageError
from quorate.council import Decision, Execution, ProposalStatus
from quorate.ledger import Ledger


def test_an_execution_from_intent_to_result(ledger, told):
    intent = told.begin_execution("p1", "webhook")
    assert intent.certificate.payload["verdict"]["decision"] == "approved"
    assert intent.proposal.execution is Execution.INTENT
    assert told.get_proposal("p1").status is ProposalStatus.DECIDED
    assert told.begin_execution("p1", "webhook") is None
    assert told.execute("p1") is False
    with pytest.raises(UsageError, match="begun by another"):
        told.finish_execution("p1", "guessed", "executed")
    with pytest.raises(UsageError, match="the outcome is 'done'"):
        told.finish_execution("p1", intent.token, "done")
    with pytest.raises(UsageError, match="at most 65536"):
        told.finish_execution("p1", intent.token, "executed", "x" * 65535)
    for odd in ([], None, 7, Execution.INTENT, Execution.NONE):
        with pytest.raises(UsageError, match="the outcome is"):
            told.finish_execution("p1", intent.token, odd)
    done = told.finish_execution("p1", intent.token, Execution.EXECUTED, {"pid": 7})
    assert (done.status, done.execution) == (ProposalStatus.EXECUTED, Execution.EXECUTED)
    assert done.outcome["detail"] == {"pid": 7}
    with pytest.raises(UsageError, match="was executed, which is final"):
        told.finish_execution("p1", intent.token, "failed")
    with pytest.raises(UsageError, match="was executed, which is final"):
        told.resolve("p1", "failed", reason="really", by="a")
    assert told.verify_audit_chain()
    verify_all(ledger)


def test_a_failed_execution_is_not_begun_again(told):
    intent = told.begin_execution("p1", "webhook")
    failed = told.finish_execution("p1", intent.token, "failed", "exit 3")
    assert (failed.status, failed.execution) == (ProposalStatus.DECIDED, Execution.FAILED)
    assert told.begin_execution("p1", "webhook") is None
    assert told.execute("p1") is False


@pytest.mark.parametrize("outcome", ["executed", "failed"])
@pytest.mark.parametrize("unknown", [False, True])
def test_what_nobody_knows_is_resolved_by_hand(ledger, told, outcome, unknown):
    with pytest.raises(UsageError, match="it can only be executed"):
        told.resolve("p1", outcome, reason="looked", by="b")
    intent = told.begin_execution("p1", "webhook")
    if unknown:
        told.finish_execution("p1", intent.token, "unknown", "timed out")
    ledger.clock.wait(60)
    again = council(ledger=ledger)
    expected = Execution.UNKNOWN if unknown else Execution.INTENT
    assert again.get_proposal("p1").execution is expected
    assert again.summary()["unresolved"] == ["p1"]
    assert "resolve it by hand" in again.render()
    assert again.execute("p1") is False
    for wrong in ({"outcome": "unknown"}, {"reason": ""}, {"by": ""}, {"reason": None}):
        with pytest.raises(UsageError):
            again.resolve("p1", **{"outcome": outcome, "reason": "looked", "by": "b", **wrong})
    resolved = again.resolve("p1", outcome, reason="looked at the host", by="b")
    assert resolved.execution == outcome
    assert resolved.outcome["by"] == "b"
    with pytest.raises(UsageError, match="final"):
        again.resolve("p1", outcome, reason="again", by="b")
    if unknown:
        with pytest.raises(UsageError, match="final"):
            told.finish_execution("p1", intent.token, "executed")


def test_only_what_is_approved_is_begun(told):
    with pytest.raises(UsageError, match="it is open"):
        told.begin_execution("p2", "x")
    with pytest.raises(UsageError, match="was not approved"):
        told.begin_execution("p3", "x")
    with pytest.raises(UsageError, match="tally it first"):
        told.certificate("p2")
    assert told.tally("p3").decision is Decision.REJECTED


def test_of_two_that_execute_at_the_same_moment_one_is_told_so(ledger, told, monkeypatch):
    """The other acts after this one has read the log, and before it writes."""
    other = council(ledger=ledger)
    real = Ledger.append

    def overtaken(self, *args, **options):
        monkeypatch.setattr(Ledger, "append", real)
        assert other.execute("p1") is True
        return real(self, *args, **options)

    monkeypatch.setattr(Ledger, "append", overtaken)
    assert told.execute("p1") is False
    assert [entry.event for entry in told.audit_log].count("executed") == 1
    assert told.verify_audit_chain()
