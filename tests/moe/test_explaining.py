"""What the command line says of a sealed batch; no PyTorch is needed."""

import json

import pytest

from quorate.cli.app import run
from quorate.core.identity import Ed25519Signer
from quorate.ledger import Ledger
from quorate.moe.policy import Policy
from quorate.moe.sealed import body_of

SIGNER = Ed25519Signer(bytes(range(32)))
GATE = "model.layers.1.mlp.gate"


def _refused(inline):
    """Twenty tokens, on each of which two replicas chose otherwise than the two others."""
    others = {"1": [1, 3], "2": [1, 3]}
    leaves = [
        {
            "token": token,
            "layers": [{"layer": 0, "experts": [0, 2], "quorum": False, "others": others}],
        }
        for token in range(20)
    ]
    layer = {
        "name": GATE, "experts": 4, "top_k": 2, "tokens": 20, "without_quorum": 20,
        "dissent": [0] * 4, "dropped": [0] * 4, "absent": [],
    }  # fmt: skip
    head = {
        "fusion": "median", "replicas": 4, "faults": 1, "quorum": 3,
        "policy": Policy("refuse").to_dict(), "weights": ["ab" * 32] * 4,
    }  # fmt: skip
    return body_of(head, [layer], leaves, salt=bytes(32), status="refused", inline=inline)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gating.pub").write_text(SIGNER.verifier.to_text())
    with Ledger.open("sqlite:///gating.db", signer=SIGNER) as ledger:
        ledger.append("gating", _refused(1024), trace_id="request-17")
        ledger.append("gating", _refused(0))
        wrong = _refused(1024)
        wrong["layers"][0]["dissent"] = [0, 1, 0, 0]
        ledger.append("gating", wrong)
    return tmp_path


def _explain(capfd, seq, *more):
    capfd.readouterr()
    code = run(["explain", str(seq), "--ledger", "gating.db", "--key", "gating.pub", *more])
    return code, *capfd.readouterr()


def _flat(text):
    return " ".join(text.split())


def test_it_says_what_the_batch_was_and_who_stood_against_whom(folder, capfd):
    code, out, err = _explain(capfd, 0)
    assert (code, err) == (0, "")
    told = _flat(out)
    assert "Entry 0, gating, sealed" in told
    assert "of trace 'request-17'" in told
    assert (
        "A batch of 20 tokens through 1 gate, refused: 3 of 4 replicas had to choose the same "
        "experts for a token, up to 1 of them faulty, fused by median. 20 of 20 tokens had no "
        f"quorum at {GATE} (on 20 tokens replicas 0 and 3 against 1 and 2). The policy for such "
        "tokens: refuse."
    ) in told
    assert "Its signature checks out; its figures were computed again from its tokens" in told
    assert len(out.splitlines()) < 20


def test_it_says_what_was_not_computed_again(folder, capfd):
    code, out, _ = _explain(capfd, 1)
    assert code == 0
    assert "only in the batch's leaves" in _flat(out)
    assert "its figures fit one another; they were not computed again" in _flat(out)


def test_a_story_that_does_not_replay_is_not_told(folder, capfd):
    code, out, err = _explain(capfd, 2)
    assert code == 4
    assert out == ""
    assert "[replay]" in err


def test_programs_get_the_same_story(folder, capfd):
    code, out, _ = _explain(capfd, 0, "--json")
    told = json.loads(out)
    assert code == 0
    assert told["kind"] == "gating"
    assert told["story"].startswith("A batch of 20 tokens")
