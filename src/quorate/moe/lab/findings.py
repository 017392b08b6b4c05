"""What the numbers say, in sentences that hold no figure of their own."""

from __future__ import annotations

from collections.abc import Iterator

from quorate.moe.lab.report import BIT, NO_ATTACK, PLAIN, POISONED, Report, Series


def share(value: float | None) -> str:
    """A share of tokens; what is there at all is never shown as none."""
    if value is None:
        return "-"
    if 0 < value < 0.001:  # noqa: PLR2004 - what one decimal shows
        return "<0.1%"
    return f"{min(value, 0.999):.1%}" if 0.999 < value < 1 else f"{value:.1%}"  # noqa: PLR2004


def scored(metric: str, value: float | None) -> str:
    """An accuracy as a percentage, a loss in nats per character."""
    if value is None:
        return "NaN"
    return f"{value:.1%}" if metric == "accuracy" else f"{value:.3f}"


def headline(report: Report, subject: str, n: int) -> str:
    """The finding to remember: what the least of faults does to one gate, and to replicas."""
    wanted = {"subject": subject, "rule": PLAIN}
    one = report.one(**wanted, attack=BIT)
    moved, by = report.worst("misrouted", 1, but=POISONED, **wanted)
    if one is not None:
        moved, by = one.at("misrouted", 1), "one flipped bit"
    first = f"{subject}: {by.replace('_', ' ')} misroutes {share(moved)} of one gate's tokens"
    return f"{first}\n{_held(report, subject, n, 'no token moves')}"


def headline_score(report: Report, subject: str, n: int) -> str:
    """The same in the model's own metric."""
    metric, wanted = report.metric(subject), {"subject": subject, "rule": PLAIN}
    one = report.one(**wanted, attack=BIT)
    score, by = report.worst("score", 1, but=POISONED, **wanted)
    if one is not None:
        score, by = one.at("score", 1), "one flipped bit"
    honest = report.one(**wanted, attack=NO_ATTACK)
    before = "" if honest is None else f" from {scored(metric, honest.at('score', 0))}"
    first = f"{subject}: {by.replace('_', ' ')} takes one gate's {metric}{before} to"
    held = _held(report, subject, n, f"the {metric} stays as it was")
    return f"{first} {scored(metric, score)}\n{held}"


def _held(report: Report, subject: str, n: int, then: str) -> str:
    """What holds of replicas, by the rules under which it was measured to hold."""
    f, rules = (n - 1) // 3, report.rules_of(subject, n)
    lost = [
        rule
        for rule in rules
        if any(_worst_of(report, subject, n, rule, name, f)[0] for name in ("misrouted", "void"))
    ]
    if len(lost) == len(rules):
        return f"{n} copies, {f} of them lying, beside it"
    but = f" under any rule but {_listed(lost)}" if lost else ""
    return f"{n} copies, {f} of them lying: {then}{but}"


def headline_poisoned(report: Report, subject: str, n: int, rule: str) -> str:
    """What poisoned training comes to, in copies and in gates trained apart."""
    metric, target = report.metric(subject), report.subjects[subject]["target"]
    copies = _of(report, subject, "copies", n, rule, POISONED)
    apart = _of(report, subject, "apart", n, rule, POISONED)
    if copies is None or apart is None:
        return f"{subject}: {metric} of {target} where training was poisoned"
    f = copies.faults
    return (
        f"{subject}: {metric} of {target}, in {n} copies of a poisoned gate: "
        f"{scored(metric, copies.at('targeted', n))}\n"
        f"in {n} gates trained apart, {f} of them poisoned: "
        f"{scored(metric, apart.at('targeted', f))}"
    )


def findings(report: Report) -> list[str]:
    """The reading of a report, in the order in which it is to be told."""
    told = []
    for subject in report.subjects:
        told += [
            f"**{subject}**: {text}"
            for text in (
                *_alone(report, subject),
                *_within(report, subject),
                *_beyond(report, subject),
                *_poisoned(report, subject),
                *_price(report, subject),
            )
        ]
    return told


def _alone(report: Report, subject: str) -> Iterator[str]:
    """One gate."""
    metric = report.metric(subject)
    honest = report.one(subject=subject, rule=PLAIN, attack=NO_ATTACK)
    if honest is None or not report.lying():
        return
    score, by = report.worst("score", 1, but=POISONED, subject=subject, rule=PLAIN)
    moved, mover = report.worst("misrouted", 1, but=POISONED, subject=subject, rule=PLAIN)
    yield (
        f"one gate alone: {metric} {scored(metric, honest.at('score', 0))}, but "
        f"{scored(metric, score)} under {by}; {mover} sends {share(moved)} of tokens to other "
        "experts, and nothing tells."
    )


def _within(report: Report, subject: str) -> Iterator[str]:
    """Copies, with as many liars as the rules are run against."""
    for n in report.sizes() if report.lying() else ():
        f = (n - 1) // 3
        held, broken = [], []
        for rule in report.rules_of(subject, n):
            value, by = _worst_of(report, subject, n, rule, "misrouted", f)
            if value == 0:
                held.append(rule)
            else:
                broken.append(f"{rule} {share(value)} ({by})")
        whom = f"{n} copies, {f} of them lying"
        if held:
            yield f"{whom}: no token is misrouted under any attack by {_listed(held)}."
        if broken:
            yield f"{whom}, most tokens misrouted by any attack: {_listed(broken)}."


def _beyond(report: Report, subject: str) -> Iterator[str]:
    """Copies, with one liar more; and where strict routing gives way."""
    for n in report.sizes() if report.lying() else ():
        f = (n - 1) // 3
        rules = [rule for rule in report.rules_of(subject, n) if rule != "mean"]
        if not rules:
            continue
        moved = {
            rule: _worst_of(report, subject, n, rule, "misrouted", f + 1)[0] or 0.0
            for rule in rules
        }
        broken = [rule for rule, value in moved.items() if value > 0]
        refused, void = (
            max(_worst_of(report, subject, n, rule, name, f + 1)[0] or 0.0 for rule in rules)
            for name in ("refused", "void")
        )
        how = (
            f"{_listed(broken)} misroute{'s' if len(broken) == 1 else ''} up to "
            f"{share(max(moved.values()))} of tokens if served"
            if broken
            else "none is misrouted by the attacks mounted here"
        )
        yield (
            f"{n} copies, {f + 1} of them lying, one more than is promised: {how}; up to "
            f"{share(void)} have no answer that could be served; if only a quorum's choice is "
            f"served, up to {share(refused)} are refused."
        )
        first = _first_unbacked(report, subject, n, rules)
        if first is not None:
            yield (
                f"{n} copies: from {first} liars on, they are a quorum of their own, and even "
                "strict routing believes them."
            )


def _first_unbacked(report: Report, subject: str, n: int, rules: list[str]) -> int | None:
    for liars in range(1, n + 1):
        if any(_worst_of(report, subject, n, rule, "unbacked", liars)[0] for rule in rules):
            return liars
    return None


def _poisoned(report: Report, subject: str) -> Iterator[str]:
    """What copies do not protect from."""
    metric = report.metric(subject)
    plain = report.one(subject=subject, rule=PLAIN, attack=POISONED)
    honest = report.one(subject=subject, rule=PLAIN, attack=NO_ATTACK)
    if plain is None or honest is None:
        return
    clean, bad = honest.at("targeted", 0), plain.at("targeted", 1)
    yield (
        f"poisoned training takes the {metric} of the targeted tokens "
        f"({report.subjects[subject]['target']}) from {scored(metric, clean)} to "
        f"{scored(metric, bad)}."
    )
    for n in report.sizes():
        rule = _representative(report, n)
        copies = _of(report, subject, "copies", n, rule, POISONED)
        apart = _of(report, subject, "apart", n, rule, POISONED)
        if copies is None or apart is None:
            continue
        f = copies.faults
        yield (
            f"{n} copies of the poisoned gate, {rule}: {scored(metric, copies.at('targeted', n))}"
            f", {share(copies.at('refused', n))} refused: they agree with each other. {n} gates "
            f"trained apart, {f} of them poisoned: {scored(metric, apart.at('targeted', f))}."
        )


def _price(report: Report, subject: str) -> Iterator[str]:
    """What gates trained apart cost."""
    metric = report.metric(subject)
    for n in report.sizes():
        rule = _representative(report, n)
        one = _of(report, subject, "apart", n, rule, NO_ATTACK)
        if one is None:
            continue
        f = one.faults
        lost, _ = report.worst("unbacked", f, subject=subject, replicas="apart", n=n, rule=rule)
        yield (
            f"{n} gates trained apart, no liar, {rule}: {metric} "
            f"{scored(metric, one.at('score', 0))} if served; a quorum is lacking for "
            f"{share(one.at('refused', 0))} of tokens, since honest gates differ. With {f} "
            f"liar{'s' if f > 1 else ''}, {share(lost)} of tokens are sent, strict, where no "
            "majority of the honest gates sends them."
        )


def _of(
    report: Report, subject: str, replicas: str, n: int, rule: str, attack: str
) -> Series | None:
    return report.one(subject=subject, replicas=replicas, n=n, rule=rule, attack=attack)


def _representative(report: Report, n: int) -> str:
    rules = report.rules_of(next(iter(report.subjects)), n)
    return "median" if "median" in rules else rules[-1]


def _worst_of(
    report: Report, subject: str, n: int, rule: str, name: str, liars: int
) -> tuple[float | None, str]:
    """Worst over the attacks on copies; one on their common source is told by itself."""
    return report.worst(
        name, liars, subject=subject, replicas="copies", n=n, rule=rule, but=POISONED
    )


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
