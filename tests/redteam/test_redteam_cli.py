"""``quorate redteam``: scans from the command line."""

import json

import pytest
import typer

from quorate.cli import redteam as command
from quorate.cli.app import exit_code
from quorate.core.errors import QuorateError
from quorate.core.identity import Ed25519Signer
from quorate.ledger import Ledger, write_key

OWN = """
from quorate.redteam.scripted import hardened, naive

print("loading prints")

def desk(request):
    print("so does this")
    return hardened(request)

def weak(request):
    return {"text": naive(request).text}

async def late(request):
    import asyncio
    await asyncio.sleep(60)

number = 7
"""


@pytest.fixture
def quorate(tmp_path, monkeypatch, capfd):
    """Run a command; gives exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        capfd.readouterr()
        main = typer.main.get_command(command.app)
        try:
            code = main([str(a) for a in arguments], standalone_mode=False) or 0
        except QuorateError as error:
            return exit_code(error), "", str(error)
        return code, *capfd.readouterr()

    return call


def test_a_built_in_target_as_a_table_and_as_json(quorate):
    code, out, err = quorate("scan", "scripted-leaky", "--seed", 7)
    assert code == 0
    assert "RT-DATA-EXFIL" in out
    assert "no evidence of any system" in err
    code, out, _ = quorate("scan", "scripted-leaky", "--seed", 7, "--json")
    told = json.loads(out)
    assert code == 0
    assert told["risk_score"] == pytest.approx(1 - told["resilience"])
    assert told["sealed"] is None
    assert quorate("scan", "scripted-leaky", "--seed", 7, "--json")[1] == out


def test_a_seed_is_drawn_and_told(quorate):
    seeds = {json.loads(quorate("scan", "scripted-naive", "--json")[1])["seed"] for _ in "ab"}
    assert len(seeds) == 2


def test_a_function_of_a_file_and_of_a_module(quorate, tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "acts_here.py").write_text(OWN)
    (tmp_path / "beside_here.py").write_text(OWN)
    for target in ("own/acts_here.py:desk", "beside_here:desk", "beside_here.py:desk"):
        code, out, err = quorate("scan", target, "--seed", 1, "--json", "--strict")
        told = json.loads(out)
        assert (code, told["target"], told["scripted"]) == (0, target, False)
        assert told["resilience"] == 1.0
        assert "so does this" in err


def test_strict(quorate, tmp_path):
    (tmp_path / "acts_there.py").write_text(OWN)
    assert quorate("scan", "scripted-hardened", "--strict")[0] == 0
    assert quorate("scan", "scripted-leaky", "--strict")[0] == 3
    code, out, err = quorate(
        "scan", "acts_there.py:late", "--timeout", "0.01", "--strict", "--strategy", "RT-BFLA"
    )
    assert code == 3
    assert "there is no score" in out
    assert "not probed" in err


def test_a_sealed_scan_verifies(quorate, tmp_path):
    key = Ed25519Signer.generate()
    write_key(tmp_path / "own.key", key)
    seal = ("--seal", "--ledger", "scans.db", "--signer", "own.key")
    code, out, _ = quorate("scan", "scripted-leaky", "--seed", 7, *seal)
    assert code == 0
    assert "sealed as entry 0" in out
    told = json.loads(quorate("scan", "scripted-naive", "--seed", 7, *seal, "--json")[1])
    with Ledger.open("sqlite:///scans.db", verify_with=key.verifier) as ledger:
        assert ledger.verify(replay=True).size == 2
        assert ledger.get(1).entry_hash == told["sealed"]["hash"]


def test_a_system_file_names_what_was_attacked(quorate, tmp_path):
    (tmp_path / "system.toml").write_text('name = "desk"\nversion = "3"\n')
    (tmp_path / "own_desk.py").write_text("def says_no(request):\n    return 'no'\n")
    arguments = ("scan", "own_desk.py:says_no", "--system", "system.toml", "--json")
    told = json.loads(quorate(*arguments, "--strategy", "RT-BFLA")[1])
    assert (told["target"], told["version"]) == ("desk", "3")
    for target in ("scripted-hardened", "quorate.redteam.scripted:hardened"):
        code, _, words = quorate("scan", target, "--system", "system.toml")
        assert code == 2
        assert "the built-in script scripted-hardened, which is no system" in words
    code, _, words = quorate("scan", "own_desk.py:says_no", "--system", "gone.toml")
    assert code == 2
    assert "there is no gone.toml" in words


def test_markdown_is_saved_and_nothing_is_replaced(quorate, tmp_path):
    code, out, _ = quorate("scan", "scripted-naive", "--markdown", "report.md")
    assert code == 0
    assert "transcripts: report.md" in out
    assert (tmp_path / "report.md").read_text().startswith("# Red-team report: scripted-naive")
    code, _, words = quorate("scan", "scripted-naive", "--markdown", "report.md")
    assert code == 2
    assert "nothing is replaced" in words


def test_the_list_has_every_strategy_probe_and_target(quorate):
    code, out, _ = quorate("list")
    assert code == 0
    for words in ("RT-CRESCENDO  critical, multi_turn", "piece by piece", "scripted-hardened"):
        assert words in out
    told = json.loads(quorate("list", "--json")[1])
    assert [one["canonical"] for one in told["strategies"]] == [True] * 8
    assert told["strategies"][0]["probes"][0]["judges"] == ["canary_leaked"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["scripted-hard"], 2, "did you mean 'scripted-hardened'"),
        (["nowhere.py:f"], 2, "there is no file"),
        (["nowhere_at_all:f"], 2, "cannot be imported"),
        (["json:"], 2, "no module:function"),
        (["json:gone"], 2, "has no 'gone'"),
        ([":f"], 2, "no module:function"),
        (["a b:f"], 2, "no module:function"),
        (["acts_where.py:number"], 2, "cannot be called"),
        (["broken_here.py:f"], 2, "cannot be imported"),
        (["scripted-naive", "--seed", "-1"], 2, "from 0"),
        (["scripted-naive", "--strategy", "RT-X"], 2, "no strategy"),
        (["scripted-naive", "--timeout", "0"], 2, "above 0"),
        (["scripted-naive", "--canary", "short"], 2, "fewer than 12"),
        (["scripted-naive", "--ledger", "x.db"], 2, "for --seal"),
        (["scripted-naive", "--seal"], 2, "--signer"),
        (["scripted-naive", "--seal", "--ledger", "x.db", "--signer", "k"], 2, "no key k"),
    ],
)
def test_what_cannot_be_used(quorate, tmp_path, arguments, code, words):
    (tmp_path / "acts_where.py").write_text(OWN)
    (tmp_path / "broken_here.py").write_text("raise SystemExit(3)")
    found, _, told = quorate("scan", *arguments)
    assert found == code
    assert words in told
    assert not (tmp_path / "x.db").exists()
