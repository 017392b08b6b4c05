"""The attack laboratory: what its numbers come from, on models trained here."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs quorate[torch]")
pytest.importorskip("sklearn", reason="needs quorate[moe]")

from quorate.core.errors import UsageError  # noqa: E402
from quorate.core.quorum import quorum_size  # noqa: E402
from quorate.moe.lab.asked import too_few  # noqa: E402
from quorate.moe.lab.attacks import ATTACKS, Scene  # noqa: E402
from quorate.moe.lab.layers import (  # noqa: E402
    EXPERTS,
    balance_loss,
    mixed,
    seeded,
    steady,
    top_k,
)
from quorate.moe.lab.measure import Bench  # noqa: E402
from quorate.moe.lab.names import ATTACK_NAMES, MODEL_NAMES, RULE_NAMES  # noqa: E402
from quorate.moe.lab.running import MODELS, run_lab, subject_named  # noqa: E402
from quorate.routing.rules_logits import route_logits  # noqa: E402

BY_NAME = {attack.name: attack for attack in ATTACKS}
LYING = [attack for attack in ATTACKS if not attack.at_source]
QUICK = ("mean", "vote", "median", "trimmed_mean", "krum", "nnm+median")
PROTECTING = [rule for rule in RULE_NAMES if rule != "mean"]


@pytest.fixture(scope="module")
def digits():
    return subject_named("digits")


@pytest.fixture(scope="module")
def text():
    return subject_named("text", gates=4)


@pytest.fixture(scope="module", params=["digits", "text"])
def subject(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(autouse=True)
def one_thread():
    with steady(0):
        yield


def named(attack):
    return attack.name


def usable(rules, n):
    return [rule for rule in rules if too_few(rule, n) is None]


def test_what_can_be_asked_for_is_what_there_is():
    assert [attack.name for attack in ATTACKS] == [*ATTACK_NAMES]
    assert [*MODELS] == [*MODEL_NAMES]


# -- the models


def test_routing_matters_to_each_model(digits, text):
    facts = digits.facts
    assert min(facts["gate_scores"]) > 0.85
    assert facts["random_routing_score"] < 0.5
    assert sum(count > 0 for count in facts["load"]) >= 6
    facts = text.facts
    assert max(facts["gate_scores"]) < 2.8 < facts["random_routing_score"] + 0.2
    assert facts["random_routing_score"] > max(facts["gate_scores"]) + 0.1
    assert all(facts["load"])


def test_gates_trained_apart_are_not_copies_and_mostly_agree(subject):
    first, second = subject.gates[:2]
    assert not torch.equal(first.weight, second.weight)
    assert 0.5 < subject.facts["agreement"] < 1


def test_no_test_token_was_trained_on(digits):
    assert digits.facts["trained_on"] + digits.facts["tokens"] == 1797


def test_the_score_counts_what_was_not_answered_as_not_right(digits):
    experts, weights = top_k(digits.logits(digits.gates[0]))
    answered = torch.arange(len(experts)) % 3 != 0
    right = 0
    for place in range(len(experts)):
        if not answered[place]:
            continue
        told = sum(
            weights[place, slot] * digits.tokens.outputs[place, experts[place, slot]]
            for slot in range(2)
        )
        right += int(told.argmax()) == int(digits.tokens.labels[place])
    assert digits.score(experts, weights, answered) == pytest.approx(right / len(experts), abs=1e-6)


def test_a_score_is_none_where_it_is_not_a_number(digits, text):
    lost = torch.full((len(text.tokens.labels), EXPERTS), torch.nan)
    assert text.plain_score(lost) is None
    assert digits.plain_score(torch.full((599, EXPERTS), torch.nan)) == 0


def test_top_k_gives_ties_to_the_lowest_index():
    experts, weights = top_k(torch.tensor([[1.0, 2.0, 2.0, 0.0], [0.0, 0.0, 0.0, 0.0]]))
    assert experts.tolist() == [[1, 2], [0, 1]]
    assert weights.tolist() == [[0.5, 0.5], [0.5, 0.5]]


def test_a_mixture_is_the_weighted_sum_of_the_chosen():
    outputs = torch.arange(24.0).reshape(2, 4, 3)
    found = mixed(outputs, torch.tensor([[0, 1], [3, 2]]), torch.tensor([[1.0, 0.0], [0.5, 0.5]]))
    assert found.tolist() == [outputs[0, 0].tolist(), (outputs[1, 2:].mean(0)).tolist()]


def test_the_balance_loss_is_one_where_experts_are_used_alike():
    level = torch.zeros(EXPERTS, EXPERTS)
    assert float(balance_loss(level, torch.arange(EXPERTS)[:, None])) == pytest.approx(1)
    one = torch.full((4, EXPERTS), -20.0)
    one[:, 3] = 20
    assert float(balance_loss(one, torch.full((4, 1), 3))) == pytest.approx(EXPERTS)


def test_settings_of_pytorch_are_put_back():
    torch.set_num_threads(2)
    torch.manual_seed(5)
    before = (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled())
    expected = torch.Generator().manual_seed(5)
    with steady(1):
        assert torch.get_num_threads() == 1
        torch.rand(3)
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == before
    assert torch.equal(torch.rand(2), torch.rand(2, generator=expected))


# -- the attacks


@pytest.mark.parametrize("attack", ATTACKS, ids=named)
def test_one_gate_is_harmed_by_every_attack_that_says_so(subject, attack):
    bench = Bench(subject, "one", 1)
    found = bench.measure("plain gate", bench.logits(attack, 1), 1)
    assert (found.misrouted > 0) == attack.harms_plain
    # Nothing tells: a gate that stands alone refuses nothing.
    assert found.refused == 0
    assert found.unbacked == found.misrouted


@pytest.mark.parametrize(("name", "flips"), [("flipped_bit", 1), ("flipped_bits", 8)])
def test_flipped_bits_are_as_many_as_is_said(digits, name, flips, monkeypatch):
    changed = []
    monkeypatch.setattr(
        type(digits), "logits", lambda self, gate: changed.append(gate) or gate(self.tokens.hidden)
    )
    own = digits.gates[0]
    BY_NAME[name].lies(Scene(digits, [own], torch.zeros(1, 1, EXPERTS)))
    apart = own.weight.view(torch.int32) ^ changed[-1].weight.view(torch.int32)
    bits = [(value & 0xFFFFFFFF).bit_count() for value in apart.flatten().tolist()]
    assert sum(bits) == flips
    # Exponent bits only: sign and fraction are as they were.
    assert not any(value & 0x807FFFFF for value in apart.flatten().tolist())
    assert torch.equal(own.bias, changed[-1].bias)


def test_no_attack_changes_the_gates_that_were_trained(digits):
    before = [gate.weight.clone() for gate in digits.gates]
    for attack in ATTACKS:
        Bench(digits, "apart", 4).logits(attack, 4)
    assert all(torch.equal(a, b.weight) for a, b in zip(before, digits.gates, strict=True))


def test_a_silenced_expert_is_never_chosen(digits):
    bench = Bench(digits, "one", 1)
    busiest = int(np.argmax(digits.facts["load"]))
    assert not (top_k(bench.logits(BY_NAME["silenced_expert"], 1)[0])[0] == busiest).any()


def test_targeted_misrouting_leaves_other_tokens_alone(subject):
    bench = Bench(subject, "one", 1)
    told = bench.logits(BY_NAME["targeted_misrouting"], 1)[0]
    other = ~subject.tokens.targeted
    assert torch.equal(told[other], bench.trained[0][other])
    assert (top_k(told)[0][~other, 0] == top_k(told)[0][~other, 0][0]).all()


# -- copies of one gate


@pytest.mark.parametrize("attack", LYING, ids=named)
@pytest.mark.parametrize("n", [4, 7])
def test_as_many_liars_as_are_borne_move_no_token_of_copies(digits, attack, n):
    _nothing_moves(digits, attack, n)


@pytest.mark.parametrize("attack", LYING, ids=named)
def test_nor_of_copies_in_the_language_model(text, attack):
    _nothing_moves(text, attack, 4)


def _nothing_moves(subject, attack, n):
    bench = Bench(subject, "copies", n)
    honest = subject.plain_score(bench.trained[0])
    for liars in range(1, bench.faults + 1):
        logits = bench.logits(attack, liars)
        for rule in usable(PROTECTING, n):
            found = bench.measure(rule, logits, liars)
            assert (found.misrouted, found.void, found.refused, found.unbacked) == (0, 0, 0, 0)
            assert found.score == found.strict_score == pytest.approx(honest, abs=1e-5)


@pytest.mark.parametrize("n", [4, 7])
def test_the_mean_does_not_stop_what_the_others_stop(subject, n):
    bench = Bench(subject, "copies", n)
    for name in ("flipped_bit", "replaced_gate", "silenced_expert", "inner_product"):
        assert bench.measure("mean", bench.logits(BY_NAME[name], 1), 1).misrouted > 0


@pytest.mark.parametrize("attack", [a for a in LYING if a.harms_plain], ids=named)
@pytest.mark.parametrize("rule", ["vote", "median", "trimmed_mean", "geometric_median"])
def test_beyond_the_bound_tokens_are_misrouted_or_refused(subject, attack, rule):
    bench = Bench(subject, "copies", 4)
    for liars in range(bench.faults + 1, 5):
        found = bench.measure(rule, bench.logits(attack, liars), liars)
        assert max(found.misrouted, found.refused) > 0
        if liars < quorum_size(4):
            # Too few for a quorum of their own: strict routing refuses and never believes.
            assert found.unbacked == 0
        elif attack.name != "nan":
            assert found.unbacked > 0


def test_liars_that_are_a_quorum_are_believed(subject):
    bench = Bench(subject, "copies", 4)
    found = bench.measure("median", bench.logits(BY_NAME["inner_product"], 3), 3)
    assert (found.unbacked, found.refused) == (1, 0)


# -- gates trained apart


@pytest.mark.parametrize("attack", ATTACKS, ids=named)
def test_within_the_bound_gates_trained_apart_send_nothing_unbacked(digits, attack):
    for n in (4, 7):
        bench = Bench(digits, "apart", n)
        for liars in range(bench.faults + 1):
            logits = bench.logits(attack, liars)
            for rule in usable(QUICK, n):
                assert bench.measure(rule, logits, liars).unbacked == 0


def test_copies_of_a_poisoned_gate_all_fail_and_do_not_tell(subject):
    plain = Bench(subject, "one", 1)
    poisoned = BY_NAME["poisoned_training"]
    alone = plain.measure("plain gate", plain.logits(poisoned, 1), 1)
    copies = Bench(subject, "copies", 4)
    for rule in usable(PROTECTING, 4):
        found = copies.measure(rule, copies.logits(poisoned, 4), 4)
        assert found.targeted == pytest.approx(alone.targeted, abs=1e-5)
        assert (found.refused, found.misrouted) == (0, alone.misrouted)


def test_gates_trained_apart_outvote_a_poisoned_one(digits):
    bench = Bench(digits, "apart", 4)
    poisoned = bench.logits(BY_NAME["poisoned_training"], 1)
    alone = Bench(digits, "one", 1)
    lost = alone.measure("plain gate", alone.logits(BY_NAME["poisoned_training"], 1), 1)
    clean = bench.measure("median", bench.trained, 0)
    found = bench.measure("median", poisoned, 1)
    assert lost.targeted < 0.2
    assert found.targeted > clean.targeted - 0.1
    assert clean.targeted > 0.8


# -- the measuring, again by loops


@pytest.mark.parametrize("kind", ["copies", "apart"])
@pytest.mark.parametrize("name", ["flipped_bit", "targeted_misrouting", "a_little_is_enough"])
def test_measured_shares_are_what_loops_count(digits, kind, name):
    bench = Bench(digits, kind, 4)
    for liars in (1, 2, 3):
        logits = bench.logits(BY_NAME[name], liars)
        found = bench.measure("median", logits, liars)
        moved = refused = unbacked = 0
        for token in range(logits.shape[1]):
            before = _set_of(_median(bench.trained[:, token]))
            now = _set_of(_median(logits[:, token]))
            own = [_set_of(row.tolist()) for row in logits[:, token]]
            honest = [_set_of(row.tolist()) for row in bench.trained[: 4 - liars, token]]
            committed = own.count(now) >= 3
            moved += before != now
            refused += not committed
            unbacked += committed and 2 * honest.count(now) <= len(honest)
        counts = (moved, refused, unbacked)
        assert (found.misrouted, found.refused, found.unbacked) == tuple(
            round(count / logits.shape[1], 6) for count in counts
        )


def _median(rows):
    middle = [sorted(column)[1:3] for column in zip(*rows.tolist(), strict=True)]
    # float32, as the rule computes: two different doubles can be one float.
    return [float(np.float32(a) / 2 + np.float32(b) / 2) if a != b else a for a, b in middle]


def _set_of(logits):
    return frozenset(sorted(range(len(logits)), key=lambda expert: (-logits[expert], expert))[:2])


@pytest.mark.parametrize("kind", ["copies", "apart"])
def test_strict_is_what_the_router_calls_consensus(digits, kind):
    for n in (4, 7):
        bench = Bench(digits, kind, n)
        for name, liars in (("nan", 1), ("flipped_bits", 2), ("sign_flip", n - 1)):
            logits = bench.logits(BY_NAME[name], liars)
            for rule in usable(("median", "krum", "nnm+median", "geometric_median"), n):
                gating = route_logits(logits.numpy(), rule=rule, faults=bench.faults, k=2)
                choice = bench._choice(rule, logits)
                agreed = gating.consensus
                assert choice.committed.tolist() == agreed.tolist()
                ours, theirs = choice.sets.numpy()[agreed], np.sort(gating.experts[agreed])
                assert np.array_equal(ours, theirs), (kind, n, name, rule)


# -- a whole run


SMALL = {
    "models": ("digits",),
    "sizes": (4,),
    "rules": ("median", "vote", "krum"),
    "attacks": ("sign_flip", "poisoned_training"),
    "quick": True,
}


@pytest.fixture(scope="module")
def report():
    return run_lab(**SMALL)


def test_the_same_seed_gives_the_same_report(report):
    assert run_lab(**SMALL).to_dict() == report.to_dict()


def test_another_seed_trains_another_model(report):
    other = run_lab(**SMALL | {"seed": 1, "attacks": ("sign_flip",)})
    assert other.subjects["digits"]["gate_scores"] != report.subjects["digits"]["gate_scores"]


def test_a_run_measures_no_liar_to_all_lying_and_skips_what_cannot_be(report):
    median = report.one(replicas="copies", rule="median", attack="sign_flip")
    assert median.liars == [1, 2, 3, 4]
    assert report.one(replicas="copies", rule="median", attack="no attack").liars == [0]
    assert report.one(replicas="copies", rule="median", attack="poisoned_training").liars == [4]
    assert report.one(rule="krum") is None
    (skipped,) = report.skipped
    assert (skipped["rule"], skipped["n"]) == ("krum", 4)
    assert "needs at least 5 replicas" in skipped["reason"]


def test_progress_ends_where_it_said_it_would():
    told = []
    run_lab(**SMALL, progress=lambda done, total: told.append((done, total)))
    assert [done for done, _ in told] == list(range(1, len(told) + 1))
    assert {total for _, total in told} == {len(told)}


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"models": ("faces",)}, "'faces' is no model; there is digits, text"),
        ({"models": ()}, "no model is named"),
        ({"attacks": ("shouting",)}, "'shouting' is no attack; there is flipped_bit"),
        ({"rules": ("dice",)}, "rule is 'dice'; there is mean, vote"),
        ({"rules": ("krum",)}, "krum with 1 liar needs at least 5 replicas; there are 4"),
        ({"sizes": (3,)}, "3 replicas; give 4 to 7"),
        ({"sizes": (8,)}, "8 replicas; give 4 to 7"),
        ({"sizes": (True,)}, "True replicas; give 4 to 7"),
        ({"sizes": ()}, "no number of replicas"),
    ],
)
def test_what_cannot_be_run_is_told_before_anything_is_trained(wrong, told, monkeypatch):
    monkeypatch.setattr("quorate.moe.lab.digits.trained", None)
    with pytest.raises(UsageError, match=told):
        run_lab(**SMALL | wrong)


def test_a_seeded_generator_is_its_own():
    assert torch.equal(torch.rand(2, generator=seeded(3)), torch.rand(2, generator=seeded(3)))
