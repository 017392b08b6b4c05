"""``quorate card``: what it prints, what it writes, and how it ends."""

import json

import pytest
from card_server import sends, serving
from card_tools import FULL_1_0, changed, small, text_of
from evidence_tools import KEY, SEALED, SYSTEM, TODAY, item, sealed

from quorate.cards import EVIDENCE_URI, jws
from quorate.cards.evidence import evidence_of
from quorate.cards.reading import read_card
from quorate.cards.signed_form import signed_forms
from quorate.cards.signing import read_private_key
from quorate.cards.verdict import CardVerdict
from quorate.cli.app import run
from quorate.compliance import EvidenceSet, load_profile
from quorate.core.identity import Ed25519Signer
from quorate.ledger import Ledger, write_key


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def quorate(here, capsys):
    """Run a command; gives its exit code, and what it printed."""

    def go(*arguments):
        code = run([str(each) for each in arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return go


@pytest.fixture
def signed(here, quorate):
    assert quorate("card", "init", "card.json", "--name", SYSTEM.name)[0] == 0
    card = json.loads((here / "card.json").read_text())
    (here / "card.json").write_text(text_of({**card, "version": SYSTEM.version}))
    assert quorate("card", "key", "card.key", "--kid", "acme")[0] == 0
    done = quorate(
        "card", "sign", "card.json", "--key", "card.key", "--kid", "acme", "-o", "s.json"
    )
    assert done[:2] == (0, "signed s.json as acme\n")
    return "s.json"


# -- evidence that a ledger holds, put into a card


@pytest.fixture
def ledger(here):
    """A ledger with one item of the agent, one of an earlier version, one of another agent."""
    key = Ed25519Signer(b"\x05" * 32)
    write_key(here / "ledger.key", key)
    with Ledger.open("sqlite:///l.db", signer=key, clock=lambda: SEALED) as log:
        for scope in (SYSTEM.version, "0.9"):
            log.append("evidence", of_version(scope).body())
        other = item("riskAssessment", scope={"system": "other", "version": SYSTEM.version})
        log.append("evidence", other.body())
    return "l.db"


def of_version(version):
    return item("hitlContact", scope={"system": SYSTEM.name, "version": version})


def test_what_a_ledger_holds_of_the_agent_goes_into_its_card(here, quorate, signed, ledger):
    asked = ["card", "evidence", signed, ledger, "--key", "ledger.pub", "-o", "full.json"]
    code, out, err = quorate(*asked, "--json")
    assert (code, json.loads(out)["fields"]) == (0, ["hitlContact"])
    assert "sign it again" in err
    card = json.loads((here / "full.json").read_text())
    assert "signatures" not in card
    found, problems = evidence_of(card)
    assert problems == []
    assert [(one.field, one.scope.version) for one in found.items] == [
        ("hitlContact", SYSTEM.version)
    ]
    sign = ["card", "sign", "full.json", "--key", "card.key", "--kid", "acme", "--in-place"]
    assert quorate(*sign)[0] == 0
    (here / "policy.toml").write_text(f'keys = ["{(here / "ledger.pub").read_text().strip()}"]\n')
    assert (
        "next: name who may seal evidence with --policy" in quorate("card", "check", "full.json")[1]
    )
    given = ["--trust", "card.jwks", "--policy", "policy.toml", "--as-of", TODAY]
    _, out, _ = quorate("card", "check", "full.json", *given)
    assert "8. Human-in-the-Loop Gate (hitlContact): covered" in out
    assert "signatures: verified" in out


def test_what_the_ledger_shows_no_more_is_not_put_in(here, quorate, ledger):
    said = item("eventLogging", source="quorate.collect.event_logging")
    with Ledger.open("sqlite:///l.db", signer=Ed25519Signer(b"\x05" * 32)) as log:
        ends = [{"seq": seq, "hash": log.get(seq).entry_hash} for seq in (0, 2)]
        span = {"origin": log.origin, "first": 0, "last": 2}
        data = {**said.body()["data"], "range": {**said.body()["data"]["range"], **span}}
        log.append("evidence", {**said.body(), "data": data, "entries": ends})
    (here / "card.json").write_text(text_of(small(name=SYSTEM.name, version=SYSTEM.version)))
    asked = ["card", "evidence", "card.json", ledger, "--key", "ledger.pub", "--in-place"]
    code, out, err = quorate(*asked, "--json")
    assert (code, json.loads(out)["fields"]) == (0, ["hitlContact"])
    assert "eventLogging" in err


def test_evidence_put_in_twice_is_there_once_and_the_rest_stays(here, quorate, ledger):
    there = {
        "uri": EVIDENCE_URI,
        "required": False,
        "params": {"metadata": {"x402Receipt": []}},
    }
    units = {"uri": "https://example.com/ext/units/v1", "params": {"units": ["km"]}}
    card = small(name=SYSTEM.name, version=SYSTEM.version)
    card["capabilities"] = {"streaming": True, "extensions": [there, units]}
    (here / "card.json").write_text(text_of(card))
    asked = ["card", "evidence", "card.json", ledger, "--key", "ledger.pub", "--in-place"]
    assert quorate(*asked)[0] == 0
    first = (here / "card.json").read_text()
    assert quorate(*asked)[0] == 0
    assert (here / "card.json").read_text() == first
    capabilities = json.loads(first)["capabilities"]
    kept, own = capabilities["extensions"]
    assert (capabilities["streaming"], kept, own["required"]) == (True, units, False)
    assert list(own["params"]["metadata"]) == ["hitlContact"]
    assert len(own["params"]["receipts"]) == 1


@pytest.mark.parametrize(
    ("changes", "more", "code", "told"),
    [
        ({"name": "nobody"}, ["--key", "ledger.pub"], 2, "of 'nobody' '2.1.0', as the card"),
        ({"skills": []}, ["--key", "ledger.pub"], 4, "the card is not valid; mend it first"),
        ({}, [], 2, "name whom you trust"),
        ({}, ["--key", "other.pub"], 4, "signed by 0 trusted keys"),
        ({}, ["--key", "ledger.pub", "--in-place", "-o", "x"], 2, "not both"),
    ],
)
def test_evidence_that_cannot_go_in_leaves_the_card_alone(
    here, quorate, ledger, changes, more, code, told
):
    write_key(here / "other.key", Ed25519Signer(b"\x06" * 32))
    card = {**small(name=SYSTEM.name, version="2.1.0"), **changes}
    (here / "card.json").write_text(text_of(card))
    came = quorate("card", "evidence", "card.json", ledger, *more)
    assert came[0] == code
    assert told in came[2]
    assert (here / "card.json").read_text() == text_of(card)


def test_evidence_of_another_name_is_named(here, quorate, ledger):
    card = small(name="Route planner", version="1.0.0")
    (here / "card.json").write_text(text_of(card))
    asked = ["card", "evidence", "card.json", ledger, "--key", "ledger.pub", "-o", "full.json"]
    code, _, err = quorate(*asked)
    told = " ".join(err.split())
    assert code == 2
    assert "no evidence of 'Route planner' '1.0.0'" in told
    assert f"but evidence of {SYSTEM.name!r} {SYSTEM.version!r}, {SYSTEM.name!r} '0.9'" in told
    assert "one name and version" in told
    assert not (here / "full.json").exists()


def test_what_is_no_card_is_told_in_three_lines_and_what_to_do(here, quorate):
    (here / "bad.json").write_text("{nope")
    code, out, err = quorate("card", "check", "bad.json")
    assert (code, err) == (4, "")
    assert len(out.splitlines()) == 4
    assert out.splitlines()[-1].startswith("next: mend what is named as an error")


def test_a_signature_that_was_not_checked_is_not_called_unknown(here, quorate, signed):
    out = quorate("card", "check", signed)[1]
    assert (
        "1 signature, not checked: no trust store was named\n  [0] not checked: kid 'acme'" in out
    )
    card = json.loads((here / signed).read_text())
    (here / "wrong.json").write_text(text_of({**card, "skills": []}))
    out = quorate("card", "check", "wrong.json", "--trust", "card.jwks")[1]
    assert "1 signature, not checked: the card is not valid" in out


@pytest.mark.parametrize("version", ["1.0", "0.3"])
def test_init_writes_a_valid_card_and_replaces_nothing(here, quorate, version):
    code, out, _ = quorate("card", "init", "--a2a", version)
    assert (code, out.splitlines()[0]) == (
        0, "wrote agent-card.json; next: quorate card check agent-card.json",
    )  # fmt: skip
    before = (here / "agent-card.json").read_text()
    read = read_card(before)
    assert (read.version, read.problems) == (version, ())
    code, _, err = quorate("card", "init", "--name", "Other")
    assert (code, (here / "agent-card.json").read_text()) == (2, before)
    assert "is there already" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--url", "http://example.com"], "use https"),
        (["--url", "nonsense"], "is no absolute address"),
        (["--name", ""], "is empty"),
        (["--a2a", "2.0"], "give 1.0 or 0.3"),
    ],
)
def test_init_refuses_what_would_not_be_valid(here, quorate, arguments, said):
    code, _, err = quorate("card", "init", *arguments)
    assert code == 2
    assert said in err
    assert not (here / "agent-card.json").exists()


def test_check_tells_everything_for_people(quorate, signed):
    code, out, err = quorate("card", "check", signed, "--trust", "card.jwks")
    assert code == 0
    assert "form: valid (A2A 1.0: it has supportedInterfaces)" in out
    assert "signatures: verified: signed by 1 trusted key" in out
    assert "experts: 0 of 14 covered" in out
    assert "evidence shows 0 of 19 checks" in out
    assert "name who may seal it with --policy" in err
    code, out, err = quorate("card", "check", signed)
    assert code == 0
    assert "name keys with --trust" in err


def test_check_ends_by_how_the_card_stands(here, quorate, signed):
    assert quorate("card", "check", signed, "--trust", "card.jwks", "--strict")[0] == 3
    (here / "bad.json").write_text(text_of(changed(FULL_1_0, "name", 5)))
    code, out, _ = quorate("card", "check", "bad.json")
    assert code == 4
    assert "$.name: is the number 5" in out
    tampered = json.loads((here / signed).read_text()) | {"description": "Other."}
    (here / "t.json").write_text(json.dumps(tampered))
    code, out, _ = quorate("card", "check", "t.json", "--trust", "card.jwks")
    assert code == 4
    assert "[0] tampered" in out
    assert quorate("card", "check", "t.json")[0] == 0
    assert quorate("card", "check", "none.json")[0] == 5
    assert quorate("card", "check", ".")[0] == 5
    assert quorate("card", "check", signed, "--trust", "none.toml")[0] == 5
    assert quorate("card", "check", signed, "--as-of", "soon")[0] == 2
    assert quorate("card", "check", signed, "--json", "--sarif")[0] == 2
    assert quorate("card", "check", signed, "--profile", "mine")[0] == 2
    assert quorate("card", "check", signed, "--ledger", "l.db")[0] == 2


def test_check_passes_with_all_evidence(here, quorate, signed):
    fields = dict.fromkeys([*load_profile("core").fields, *load_profile("experts").fields])
    items, receipts = sealed([item(field) for field in fields])
    beside = EvidenceSet(SYSTEM, tuple(items), tuple(receipts)).to_dict()
    (here / "evidence.json").write_text(json.dumps(beside))
    (here / "policy.toml").write_text(f'keys = ["{KEY.verifier.to_text()}"]\n')
    given = ["--trust", "card.jwks", "--policy", "policy.toml", "--evidence", "evidence.json"]
    code, out, _ = quorate("card", "check", signed, *given, "--as-of", "2026-11-21", "--strict")
    assert code == 0
    assert f"{SYSTEM.name} {SYSTEM.version}: passed on 2026-11-21" in out
    code, out, _ = quorate("card", "check", signed, *given, "--as-of", "2029-01-01", "--strict")
    assert code == 3


def test_check_as_json_has_lines_and_reads_back(here, quorate):
    (here / "bad.json").write_text(text_of(changed(small(), "skills.0.id", 7)))
    code, out, _ = quorate("card", "check", "bad.json", "--json")
    told = json.loads(out)
    assert code == 4
    (problem,) = [each for each in told["problems"] if each["level"] == "error"]
    line = (here / "bad.json").read_text().splitlines()[problem.pop("line") - 1]
    assert line[problem.pop("column") - 1] == "7"
    assert told.pop("seq") is None
    for each in told["problems"]:
        each.pop("line", None)
        each.pop("column", None)
    assert CardVerdict.from_dict(told).to_dict() == told


def test_check_as_sarif(here, quorate, signed):
    code, out, _ = quorate("card", "check", signed, "--sarif")
    log = json.loads(out)
    assert (code, log["version"]) == (0, "2.1.0")
    assert {one["ruleId"] for one in log["runs"][0]["results"]} == {
        "expert", "obligation", "signature",
    }  # fmt: skip


def test_check_seals_what_verifies_and_replays(here, quorate, signed):
    write_key(here / "ledger.key", Ed25519Signer(b"\x04" * 32))
    given = ["--trust", "card.jwks", "--ledger", "l.db", "--seal", "ledger.key"]
    code, out, _ = quorate("card", "check", signed, *given)
    assert code == 0
    assert out.endswith("sealed as entry 0\n")
    assert json.loads(quorate("card", "check", signed, *given, "--json")[1])["seq"] == 1
    code, out, _ = quorate("verify", "l.db", "--key", "ledger.pub", "--replay")
    assert code == 0
    assert "replayed 2 of them" in out


def test_check_fetches_only_from_where_it_may(quorate):
    pytest.importorskip("httpx2", reason="httpx2 is not installed; make test-adapters")
    with serving(sends(json.dumps(small()).encode())) as (port, seen):
        url = f"http://127.0.0.1:{port}/card.json"
        code, _, err = quorate("card", "check", url)
        assert (code, seen) == (2, [])
        assert "--insecure-http" in err
        code, _, err = quorate("card", "check", url, "--insecure-http")
        assert (code, seen) == (5, [])
        assert "--insecure-private" in err
        code, out, _ = quorate("card", "check", url, "--insecure-http", "--insecure-private")
        assert (code, len(seen)) == (0, 1)
        assert "Judge 1.0.0: not passed" in out


def test_sign_replaces_nothing_unasked(here, quorate, signed):
    given = ["--key", "card.key", "--kid", "acme"]
    before = (here / signed).read_text()
    code, _, err = quorate("card", "sign", "card.json", *given, "-o", signed)
    assert (code, (here / signed).read_text()) == (2, before)
    assert "is there already" in err
    code, _, err = quorate("card", "sign", signed, *given, "--in-place")
    assert (code, (here / signed).read_text()) == (2, before)
    assert "signed by 'acme' already; --replace" in err
    code, _, _ = quorate("card", "sign", signed, *given, "--in-place", "--replace")
    assert code == 0
    assert (here / signed).read_text() != before
    assert quorate("card", "check", signed, "--trust", "card.jwks")[0] == 0
    assert sorted(path.name for path in here.iterdir()) == [
        "card.json", "card.jwks", "card.key", "s.json",
    ]  # fmt: skip
    assert quorate("card", "sign", signed, *given, "--in-place", "-o", "x")[0] == 2


@pytest.mark.parametrize("there", [True, False])
def test_no_link_is_followed_to_where_it_leads(here, quorate, signed, there):
    """The attack: a link lies where the file is to be, and what it leads to would be written."""
    if there:
        (here / "target").write_text("mine")
    (here / "link").symlink_to("target")
    given = ["--key", "card.key", "--kid", "acme"]
    for done in (
        quorate("card", "sign", "card.json", *given, "-o", "link"),
        quorate("card", "init", "link"),
        quorate("card", "key", "link", "--kid", "other"),
    ):
        assert done[0] == 2
        assert "link is there already; name another file" in done[2]
    assert (here / "link").is_symlink()
    assert (here / "target").exists() is there
    assert not there or (here / "target").read_text() == "mine"


def test_a_file_that_cannot_be_made_is_told(here, quorate, signed):
    given = ["--key", "card.key", "--kid", "acme"]
    code, _, err = quorate("card", "sign", "card.json", *given, "-o", "none/s.json")
    assert code == 5
    assert "none/s.json cannot be written: No such file" in err


def test_check_of_a_card_signed_in_part(here, quorate, signed):
    card = json.loads((here / "card.json").read_text())
    key = read_private_key(here / "card.key")
    protected = jws.encode(b'{"alg":"ES256","kid":"acme"}')
    message = f"{protected}.{jws.encode(signed_forms(card, '1.0')[0])}".encode()
    signature = {"protected": protected, "signature": jws.encode(jws.sign(key, "ES256", message))}
    (here / "part.json").write_text(json.dumps({**card, "signatures": [signature]}))
    given = ["card", "check", "part.json", "--trust", "card.jwks"]
    code, out, _ = quorate(*given)
    assert code == 0
    assert "signatures: partial: trusted keys signed it, but not the whole of it" in out
    assert "there is such in securityRequirements" in out
    assert quorate(*given, "--strict")[0] == 3
    code, out, _ = quorate(*given, "--sarif")
    assert "partial" in out


def test_sign_prints_the_card_where_no_file_is_named(quorate, signed):
    code, out, _ = quorate("card", "sign", "card.json", "--key", "card.key", "--kid", "acme")
    assert code == 0
    assert len(json.loads(out)["signatures"]) == 1


def test_sign_refuses_an_invalid_card(here, quorate, signed):
    (here / "bad.json").write_text("{}")
    code, out, err = quorate("card", "sign", "bad.json", "--key", "card.key", "--kid", "acme")
    assert (code, out) == (4, "")
    assert "not valid, so it is not signed: $.name: is missing" in err


def test_key_makes_an_eddsa_key_too_and_replaces_none(here, quorate):
    assert quorate("card", "key", "k.key", "--kid", "desk", "--alg", "EdDSA")[0] == 0
    assert json.loads((here / "k.jwks").read_text())["keys"][0]["alg"] == "EdDSA"
    before = (here / "k.key").read_bytes()
    code, out, _ = quorate("card", "key", "k.key", "--kid", "desk", "--json")
    assert (code, (here / "k.key").read_bytes()) == (2, before)
    assert json.loads(out)["exit_code"] == 2
