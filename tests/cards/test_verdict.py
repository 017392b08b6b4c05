"""The verdict: valid, signed, and shown by evidence that counts; sealed, and computed again."""

import copy
import json

import pytest
from card_tools import FULL_0_3, changed, small, text_of
from cryptography.hazmat.primitives.asymmetric import ec
from evidence_tools import KEY, POLICY, STRANGER, SYSTEM, TODAY, core_items, item, sealed
from sarif_form import misfits

from quorate.cards import jws
from quorate.cards.checking import check_card
from quorate.cards.coverage import EXPERTS
from quorate.cards.lint import EVIDENCE_URI
from quorate.cards.reading import path_of, read_card
from quorate.cards.sarif import RULES, to_sarif
from quorate.cards.sealed import replay, seal_verdict
from quorate.cards.signed_form import signed_forms
from quorate.cards.signing import sign_card
from quorate.cards.trust import TrustedKey, TrustStore
from quorate.cards.verdict import CardVerdict
from quorate.compliance import EvidenceSet, load_profile
from quorate.core.errors import UsageError, VerificationError
from quorate.core.identity import HmacSigner
from quorate.ledger import Ledger, Policy

CARD_KEY = ec.derive_private_key(7, ec.SECP256R1())
TRUST = TrustStore((TrustedKey("acme", CARD_KEY.public_key(), ("ES256",)),))
FIELDS = [expert.field for expert in EXPERTS]


def named(card):
    return {**card, "name": SYSTEM.name, "version": SYSTEM.version}


def bearing(card, items, receipts):
    """The card with evidence in its extension."""
    metadata = {}
    for each in items:
        metadata.setdefault(each.field, []).append(each.to_dict())
    params = {"metadata": metadata, "receipts": [each.to_dict() for each in receipts]}
    extension = {"uri": EVIDENCE_URI, "params": params}
    kept = card["capabilities"].get("extensions", [])
    return {**card, "capabilities": {**card["capabilities"], "extensions": [*kept, extension]}}


def signed(card):
    return sign_card(read_card(card), CARD_KEY, "acme")


@pytest.fixture(scope="module")
def whole():
    """Evidence for the 19 checks and the 14 experts, sealed."""
    fields = dict.fromkeys([*load_profile("core").fields, *FIELDS])
    return sealed([item(field) for field in fields])


def check(card, **how):
    given = {"as_of": TODAY, "trust": TRUST, "evidence_policy": POLICY, **how}
    return check_card(card, **given)


@pytest.mark.parametrize("base", [small(), FULL_0_3])
def test_a_card_passes_where_all_is_shown(base, whole):
    verdict = check(text_of(signed(bearing(named(base), *whole))))
    assert (verdict.valid, verdict.signatures.state, verdict.covered) == (True, "verified", 14)
    assert verdict.shown
    assert verdict.passed
    assert "passed on 2026-11-21" in verdict.describe()


def test_evidence_may_lie_beside_the_card(whole):
    items, receipts = whole
    beside = EvidenceSet(SYSTEM, tuple(items), tuple(receipts))
    assert check(signed(named(small())), evidence=beside).passed
    half, rest = items[:10], items[10:]
    card = signed(bearing(named(small()), half, receipts))
    assert check(card, evidence=EvidenceSet(SYSTEM, tuple(rest), tuple(receipts))).passed


def test_numbers_that_went_through_a_double_still_fit(whole):
    """Servers of the SDK write whole numbers of an extension as 5.0."""
    card = signed(bearing(named(small()), *whole))
    text = json.dumps(card)
    doubled = text.replace('"seq": 1,', '"seq": 1.0,')
    assert doubled != text
    assert check(doubled).passed


@pytest.mark.parametrize(
    ("how", "what"),
    [
        ({"trust": None}, "signatures"),
        ({"evidence_policy": None}, "coverage"),
        ({"evidence_policy": Policy((STRANGER.verifier,), 1)}, "coverage"),
        ({"as_of": "2028-11-21"}, "coverage"),
        ({"as_of": "2026-11-01"}, "coverage"),
    ],
)
def test_a_card_does_not_pass_where_one_thing_is_not_shown(how, what, whole):
    verdict = check(signed(bearing(named(small()), *whole)), **how)
    assert verdict.valid
    assert not verdict.passed
    assert verdict.signatures.verified is (what != "signatures")
    assert (verdict.covered == 14) is (what != "coverage")


def test_an_unsigned_card_does_not_pass(whole):
    verdict = check(bearing(named(small()), *whole))
    assert (verdict.covered, verdict.shown, verdict.passed) == (14, True, False)


def as_the_sdk_signs(card):
    """A signature over what the official SDK covers, and nothing more."""
    protected = jws.encode(b'{"alg":"ES256","kid":"acme"}')
    message = f"{protected}.{jws.encode(signed_forms(card, '1.0')[0])}".encode()
    value = jws.encode(jws.sign(CARD_KEY, "ES256", message))
    return {**card, "signatures": [{"protected": protected, "signature": value}]}


STRONG = small(
    securitySchemes={
        "mtls": {"mtlsSecurityScheme": {"description": "A certificate of ours."}},
        "weak": {"apiKeySecurityScheme": {"location": "header", "name": "k"}},
    },
    securityRequirements=[{"schemes": {"mtls": {"list": []}}}],
)


@pytest.mark.parametrize(
    "needs",
    [
        [{"schemes": {"weak": {"list": []}}}],
        [{"schemes": {"mtls": {"list": []}}}, {"schemes": {}}],
        [{"schemes": {"mtls": {"list": []}}}, {"schemes": {"weak": {}}}],
        [],
    ],
)
def test_what_no_signature_covers_does_not_pass(needs, whole):
    """The attack: who may use the agent is changed, and the SDK's signature still fits."""
    card = bearing(named(STRONG), *whole)
    ours = signed(card)
    assert check(ours).passed
    bad = {**ours, "securityRequirements": needs}
    verdict = check(bad)
    assert (verdict.valid, verdict.signatures.state, verdict.passed) == (True, "failed", False)
    theirs = as_the_sdk_signs(card)
    for one in (theirs, {**theirs, "securityRequirements": needs}):
        verdict = check(one)
        assert (verdict.valid, verdict.covered, verdict.shown) == (True, 14, True)
        assert (verdict.signatures.state, verdict.passed) == ("partial", False)
        assert CardVerdict.from_dict(json.loads(json.dumps(verdict.to_dict()))) == verdict


def test_another_agent_s_evidence_does_not_pass_under_a_key_held_to_its_names(whole):
    """The attack: a trusted signer gives its own agent the name and the evidence of another's."""
    key = ec.derive_private_key(9, ec.SECP256R1())
    card = bearing(named(small()), *whole)
    card["supportedInterfaces"][0]["url"] = "https://mallory.example.net/a2a"
    worn = sign_card(read_card(card), key, "mallory")
    ours = TrustedKey("acme", CARD_KEY.public_key(), ("ES256",), names=(SYSTEM.name,))
    public = key.public_key()
    loose = TrustedKey("mallory", public, ("ES256",), ("mallory.example.net",))
    verdict = check(worn, trust=TrustStore((ours, loose)))
    assert verdict.passed
    assert "it may speak for agents of any name" in verdict.signatures.results[0].reason
    held = TrustedKey("mallory", public, ("ES256",), names=("Mallory's",))
    verdict = check(worn, trust=TrustStore((ours, held)))
    assert (verdict.covered, verdict.signatures.state, verdict.passed) == (14, "failed", False)
    assert verdict.signatures.results[0].state == "name"


@pytest.mark.parametrize("place", range(14))
def test_each_expert_is_needed(place, whole):
    items, receipts = whole
    left = [each for each in items if each.field != FIELDS[place]]
    verdict = check(signed(bearing(named(small()), left, receipts)))
    assert verdict.covered == 13
    assert not verdict.coverage[place].covered
    assert verdict.coverage[place].state == "missing"
    assert not verdict.passed


def test_each_core_check_is_needed(whole):
    items, receipts = whole
    left = [each for each in items if each.field != "eventLogging"]
    verdict = check(signed(bearing(named(small()), left, receipts)))
    assert verdict.covered == 14
    assert verdict.ai_act.missing == ("EUAIACT-ART12-001",)
    assert not verdict.passed


TICKED = [
    True,
    "yes",
    "passed",
    1,
    {},
    {"status": "passed"},
    {"status": "failed"},
    [],
    None,
    [True],
]


@pytest.mark.parametrize("value", TICKED)
def test_ticked_boxes_cover_nothing(value):
    extension = {"uri": EVIDENCE_URI, "params": {"metadata": dict.fromkeys(FIELDS, value)}}
    verdict = check(signed_anyway(named(small(capabilities={"extensions": [extension]}))))
    assert verdict.covered == 0
    assert not verdict.passed
    assert {each.state for each in verdict.coverage} == {"invalid"}
    assert "evidence" in {problem.rule for problem in verdict.errors}


def signed_anyway(card):
    try:
        return signed(card)
    except UsageError:
        return card


def test_a_failed_item_covers_nothing(whole):
    bad, more = sealed([item("hitlContact", status="failed")])
    items, receipts = whole
    verdict = check(signed(bearing(named(small()), [*items, *bad], [*receipts, *more])))
    assert [each.expert.field for each in verdict.coverage if not each.covered] == ["hitlContact"]
    assert not verdict.passed


def test_evidence_of_another_agent_covers_nothing(whole):
    for change in ({"name": "Other"}, {"version": "9"}):
        verdict = check(signed(bearing({**named(small()), **change}, *whole)))
        assert {each.state for each in verdict.coverage} == {"out_of_scope"}


def test_evidence_changed_after_it_was_sealed_covers_nothing(whole):
    items, receipts = whole
    card = bearing(named(small()), items, receipts)
    metadata = card["capabilities"]["extensions"][0]["params"]["metadata"]
    metadata["hitlContact"][0]["source"] = "somebody else"
    verdict = check(signed(card))
    assert [each.state for each in verdict.coverage if not each.covered] == ["unsigned"]


def test_a_card_cannot_declare_what_applies_to_it(whole):
    """It could talk itself out of every obligation."""
    items, receipts = whole
    card = bearing(named(small()), items[:1], receipts)
    params = card["capabilities"]["extensions"][0]["params"]
    params["system"] = {"name": SYSTEM.name, "version": SYSTEM.version, "role": "deployer"}
    verdict = check(card)
    assert verdict.ai_act.not_applicable == ()
    assert verdict.ai_act.system.role == "provider"
    assert [p.path for p in verdict.errors] == ["$.capabilities.extensions[0].params.system"]


def test_who_checks_may_declare_what_applies():
    declared = {"name": "x", "version": "y", "conditions": {"trains_models": False}}
    verdict = check(signed(named(small())), system=declared)
    assert (verdict.ai_act.system.name, verdict.ai_act.system.version) == ("triage", "2.1.0")
    assert verdict.ai_act.system.conditions == {"trains_models": False}


@pytest.mark.parametrize("params", [None, [], {}, {"metadata": []}, {"metadata": {}, "x": 1},
                                    {"metadata": {}, "receipts": 5}])  # fmt: skip
def test_an_extension_without_evidence_says_so(params):
    extension = {"uri": EVIDENCE_URI, "params": params}
    verdict = check(small(capabilities={"extensions": [extension]}))
    found = {problem.rule for problem in verdict.errors}
    assert "evidence" in found or "type" in found


def test_two_extensions_of_evidence_are_one_too_many(whole):
    card = bearing(bearing(named(small()), *whole), *whole)
    verdict = check(card)
    assert [problem.path for problem in verdict.errors] == ["$.capabilities.extensions[1].uri"]


def test_a_card_that_cannot_be_read_has_a_verdict_too():
    verdict = check("{")
    assert (verdict.valid, verdict.passed, verdict.digest, verdict.covered) == (False,) * 2 + (
        None,
        0,
    )
    assert "a card without a name" in verdict.describe()
    assert CardVerdict.from_dict(verdict.to_dict()) == verdict


def test_signatures_of_an_invalid_card_are_not_checked():
    card = changed(signed(small()), "skilz", 1)
    verdict = check(card)
    assert verdict.signatures.state == "unchecked"


# --- JSON, SARIF -----------------------------------------------------------------------------


@pytest.mark.parametrize("card", [small(), {}, signed(small()), changed(FULL_0_3, "name", 5)])
def test_verdicts_round_trip(card):
    verdict = check(card)
    told = json.loads(json.dumps(verdict.to_dict()))
    assert CardVerdict.from_dict(told) == verdict


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("passed", True), ("valid", False), ("format", "x"), ("left_out", -1), ("left_out", True),
        ("coverage.0.covered", True), ("coverage.0.state", "fine"), ("coverage.0.name", "x"),
        ("coverage", []), ("digest", 5), ("because", None), ("signatures.state", "fine"),
        ("problems.0", {}), ("ai_act.weight_shown", 67), ("extra", 1),
    ],
)  # fmt: skip
def test_a_verdict_that_does_not_add_up_is_refused(path, value):
    told = changed(check(small()).to_dict(), path, value)
    with pytest.raises(UsageError):
        CardVerdict.from_dict(told)


def test_sarif_points_into_the_text():
    text = text_of(changed(small(), "skills.0.id", 7))
    read = read_card(text)
    log = to_sarif(check(read), "cards/a card.json", read.located)
    (run,) = log["runs"]
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == list(RULES)
    result = next(one for one in run["results"] if one["ruleId"] == "type")
    assert result["level"] == "error"
    assert result["message"]["text"].startswith("$.skills[0].id: is the number 7")
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "cards/a%20card.json"
    region = place["region"]
    line = text.splitlines()[region["startLine"] - 1]
    assert line[region["startColumn"] - 1 : region["endColumn"] - 1] == "7"
    assert path_of("$.skills[0].id") == ("skills", 0, "id")
    levels = {one["ruleId"]: one["level"] for one in run["results"]}
    assert (levels["signature"], levels["expert"], levels["obligation"]) == ("warning",) * 3


@pytest.mark.parametrize("located", [True, False])
@pytest.mark.parametrize(
    "card",
    [
        small(),
        changed(small(), "skills.0.id", 7),
        small(description="a\u202eb", extra=1, signatures=[{"protected": "x", "signature": "y"}]),
        {},
        {"url": 3},
    ],
)
def test_sarif_has_the_form_of_the_standard(card, located):
    read = read_card(text_of(card))
    log = to_sarif(check(read), "a card.json", read.located if located else None)
    assert misfits(json.loads(json.dumps(log))) == []


def test_sarif_of_what_is_no_json_has_the_form_of_the_standard():
    for text in ("{nope", "", "[1]", '{"a": 1, "a": 2}'):
        read = read_card(text)
        log = to_sarif(check(read), "https://example.com/card", read.located)
        assert misfits(json.loads(json.dumps(log))) == []
        assert log["runs"][0]["results"]


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("version", "2.0.0", "$.version"),
        ("runs.0.tool.driver.name", ..., "$.runs[0].tool.driver.name is missing"),
        ("runs.0.results.0.message", {}, "message.text is missing"),
        ("runs.0.results.0.message.id", 3, "message.id"),
        ("runs.0.results.0.level", "fatal", "level"),
        ("runs.0.results.0.ruleIndex", 1.5, "ruleIndex"),
        ("runs.0.results.0.rule_id", "x", "rule_id is no member"),
        ("runs.0.results.0.locations.0.physicalLocation.region.startLine", 0, "startLine"),
        ("runs.0.results.0.locations.0.physicalLocation.artifactLocation", ..., "artifactLocation"),
        ("runs.0.results.0.locations.0.physicalLocation.artifactLocation.uri", "a b", "uri"),
        ("runs.0.columnKind", "bytes", "columnKind"),
    ],
)
def test_what_has_not_the_form_of_sarif_is_seen(path, value, told):
    read = read_card(text_of(small()))
    log = to_sarif(check(read), "card.json", read.located)
    assert misfits(log) == []
    (found,) = misfits(changed(log, path, value))
    assert told in found


def test_sarif_of_a_passed_card_is_empty(whole):
    read = read_card(text_of(signed(bearing(named(small()), *whole))))
    (run,) = to_sarif(check(read), "https://example.com/card", read.located)["runs"]
    assert run["results"] == []
    assert run["properties"] == {"passed": True, "valid": True}


# --- sealed ------------------------------------------------------------------------------------


def ledger():
    return Ledger.open("memory:", signer=KEY)


@pytest.mark.parametrize("kind", ["passed", "beside", "bare", "invalid"])
def test_a_sealed_verdict_is_computed_again(kind, whole):
    items, receipts = whole
    card, how = signed(bearing(named(small()), *whole)), {}
    if kind == "beside":
        card = signed(named(small()))
        how = {"evidence": EvidenceSet(SYSTEM, tuple(items), tuple(receipts)), "profile": "full"}
    elif kind == "bare":
        card, how = small(), {"trust": None, "evidence_policy": None, "system": SYSTEM}
    elif kind == "invalid":
        card = changed(FULL_0_3, "skills.0.id", 7)
    with ledger() as log:
        receipt = seal_verdict(log, check(card, **how))
        assert receipt.kind == "card"
        assert log.verify(replay=True, policy=Policy.of([KEY.verifier])).replayed == 1
        assert CardVerdict.from_dict(receipt.payload["verdict"]) == check(card, **how)


@pytest.fixture(scope="module")
def body(whole):
    with ledger() as log:
        return seal_verdict(log, check(signed(bearing(named(small()), *whole)))).payload


def test_the_body_itself_replays(body):
    replay("card", copy.deepcopy(body))


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("rule", "card/2", "rule 'card/2' is unknown"),
        ("profile", "mine.toml", "is none of core and full"),
        ("card.name", "Other", "digest is"),
        ("card.skills.0.id", 7, "digest is"),
        ("card", [], "it is an object"),
        ("card", ..., "lacks card"),
        ("trust", None, "signatures is another"),
        ("trust.keys.0.kid", "other", "signatures is another"),
        ("trust.keys.0.jwk.x", "AA", "cannot be computed again"),
        ("policy", None, "coverage is another"),
        ("policy.keys", ["hmac-sha256:not shown"], "a shared secret"),
        ("policy.keys.0", 5, "a list of texts"),
        ("as_of", "2026-11-01", "as_of is"),
        ("as_of", "x", "cannot be computed again"),
        ("evidence", [], "it is an object"),
        ("verdict.name", "Other", "name is 'Other'"),
        ("verdict.passed", False, "does not follow"),
        ("verdict.ai_act.catalogue_version", "1999.1", "reached under the catalogue 1999.1"),
        ("verdict", {}, "lacks"),
    ],
)
def test_a_signed_wrong_verdict_does_not_replay(body, path, value, said):
    with pytest.raises(VerificationError, match=said) as refused:
        replay("card", changed(body, path, value))
    assert refused.value.rule == "replay"


def test_other_kinds_do_not_replay(body):
    with pytest.raises(VerificationError, match="is no verdict on a card"):
        replay("decision", body)
    for odd in (None, 5, [], "x"):
        with pytest.raises(VerificationError):
            replay("card", odd)


def test_what_nobody_could_compute_again_is_not_sealed(tmp_path):
    with ledger() as log:
        verdict = check(small())
        with pytest.raises(UsageError, match="read from JSON is not sealed"):
            seal_verdict(log, CardVerdict.from_dict(verdict.to_dict()))
        with pytest.raises(UsageError, match="there is no card to seal a verdict on"):
            seal_verdict(log, check("{"))
        secret = Policy((HmacSigner(b"\x02" * 32),))
        with pytest.raises(UsageError, match="a shared secret"):
            seal_verdict(log, check(small(), evidence_policy=secret))
        own = tmp_path / "own.toml"
        own.write_text(
            'format = "quorate/profile/1"\nname = "own"\ntitle = "Own"\n[[checks]]\nid = "A"\n'
            'title = "A"\narticle = "12"\nobligations = ["art_12.par_1"]\nfield = "eventLogging"\n'
            'severity = "minor"\n'
        )
        with pytest.raises(UsageError, match="is one's own"):
            seal_verdict(log, check(small(), profile=str(own)))
        assert len(log) == 0


def test_the_core_items_are_those_of_the_profile():
    assert {each.field for each in core_items()} == set(load_profile("core").fields)
