"""What ``quorate explain`` shows beside the story: rounds, merge, domains, and what came before.

It reads bodies that replay has computed again, so their shape is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

from quorate.core.canonical import canonical
from quorate.core.text import counted, printable
from quorate.ledger import Ledger, Policy, Receipt

if TYPE_CHECKING:
    from quorate.hub.oversight import Standing

_MOST_OPTIONS: Final = 20
_MOST_ROUNDS: Final = 8
_ANSWER: Final = 24


def more(body: Mapping[str, Any], *, alone: bool = True) -> Iterator[str]:
    """Lines to show under the story of a decision or refusal, each ready to be printed.

    Args:
        body: as it was sealed, and computed again.
        alone: it stands in no other; independence is told of the outermost only.
    """
    verdict = body["verdict"]
    if "rounds" in verdict["trace"]:
        yield from _rounds(verdict["trace"])
    if body.get("merge") is not None:
        yield from _merge(body["merge"])
    # Where nothing is declared, the story says so.
    if alone and (verdict.get("independence") or {}).get("declared"):
        yield from _independence(verdict["independence"], len(body["roster"]))
    if body.get("consultation") is not None:
        yield from _consultation(body["consultation"])
    if body.get("parent") is not None:
        yield from _parent(body["parent"])


def describe(verdict: Mapping[str, Any], *, alone: bool = True) -> str:
    """The story of a decision or a refusal, in a paragraph; ``alone`` as for :func:`more`."""
    from quorate.arbitration import Decision, Tally, describing

    if verdict["status"] == "committed":
        return describing.committed(Decision.from_dict(verdict), alone=alone)
    return describing.refused(Tally.from_dict(verdict), alone=alone)


def overridden(log: Ledger, receipt: Receipt, trust: Policy | None) -> Standing | None:
    """What people put in place of that entry; ``None`` where it is no decision, or nobody did.

    Raises:
        VerificationError: what they sealed was not signed as ``trust`` asks, or the log does not
            hang together, so something may hide in it.
    """
    if receipt.kind != "decision":
        return None
    from quorate.hub.oversight import Oversight

    standing = Oversight(log).standing(receipt.seq)
    if trust is not None:
        # The last entry speaks for all before it: that nobody else overrode it, too.
        log.get(len(log) - 1).verify(trust)
    if standing is not None and trust is not None:
        for one in standing.overrides:
            log.get(one.seq).verify(trust)
    return standing


def told_beside(kind: str, body: Mapping[str, Any]) -> str:
    """The story of what is sealed beside verdicts, whether by people or of evidence, replayed."""
    if kind == "oversight":
        return _oversight(body)
    if kind == "evidence":
        scope = body["scope"]
        return (
            f"Evidence on {body['field']} for {scope['system']} {scope['version']}: "
            f"{body['status']}, by {body['source']}, {body['time']}, from "
            f"{counted(len(body['entries']), 'entry', 'entries')}."
        )
    if kind == "drill":
        from quorate.compliance.drills import described

        return described(body)
    if kind == "system":
        from quorate.compliance.declaring import described as described_system

        return described_system(body)
    if kind == "dossier":
        from quorate.compliance.dossier.sealed import described as described_dossier

        return described_dossier(body)
    from quorate.compliance.committing import described as described_figures

    return described_figures(kind, body)


def _oversight(body: Mapping[str, Any]) -> str:
    """Tell what a person did, from a body that was replayed."""
    if body["event"] == "halt":
        did = "halted: no hub over this ledger asks anybody after it until somebody resumes"
    elif body["event"] == "resume":
        did = f"lifted the halt of entry {body['halt']}"
    elif "answer" in body:
        answer = canonical(body["answer"]).decode()
        did = f"put {answer} in place of the decision of entry {body['decision']['seq']}"
    else:
        did = f"disregarded the decision of entry {body['decision']['seq']}"
    return f"{body['by']} {did}. Why: {body['reason']}"


def _number(text: str) -> str:
    return f"{float(Fraction(text)):.4g}"


def _short(text: str) -> str:
    shown = printable(text)
    return shown if len(shown) <= _ANSWER else f"{shown[: _ANSWER - 1]}…"


def _rounds(trace: Mapping[str, Any]) -> Iterator[str]:
    """The votes of every option in every round, and when it was eliminated."""
    rounds = trace["rounds"]
    if not rounds:
        return
    answers = {option["digest"]: _short(option["answer"]) for option in trace["options"]}
    gone = {one["eliminated"]: n for n, one in enumerate(rounds, 1) if one["eliminated"]}
    last = len(rounds) + 1
    # Those that stayed longest stand first, with more votes before less.
    order = sorted(
        answers,
        key=lambda o: (-gone.get(o, last), -Fraction(rounds[-1]["tally"].get(o, 0)), o),
    )
    shown = list(enumerate(rounds, 1))
    if len(shown) > _MOST_ROUNDS:
        shown = shown[-_MOST_ROUNDS:]
    yield ""
    yield f"Votes by round ({len(rounds)} in all):"
    width = max(_ANSWER // 2, *(len(answers[option]) for option in order[:_MOST_OPTIONS]))
    yield f"  {'':{width}}" + "".join(f"{n:>10}" for n, _ in shown)
    for option in order[:_MOST_OPTIONS]:
        cells = [
            _cell(one["tally"], option) if gone.get(option, last) >= n else "" for n, one in shown
        ]
        out = f"   out in round {gone[option]}" if option in gone else ""
        yield f"  {answers[option]:{width}}" + "".join(f"{cell:>10}" for cell in cells) + out
    if len(order) > _MOST_OPTIONS:
        yield f"  … {len(order) - _MOST_OPTIONS} more options"
    lost = [_number(one["exhausted"]) for _, one in shown]
    if any(cell != "0" for cell in lost):
        yield f"  {'exhausted':{width}}" + "".join(f"{cell:>10}" for cell in lost)
    if trace["condorcet"] is not None:
        yield (
            f"{answers[trace['condorcet']]} would have beaten each of the others one to one, "
            "and lost."
        )


def _cell(tally: Mapping[str, str] | None, option: str) -> str:
    return "…" if tally is None else _number(tally.get(option, "0"))


def _merge(merge: Mapping[str, Any]) -> Iterator[str]:
    yield ""
    yield (
        f"Merged by {printable(merge['synthesizer'])} of {len(merge['sources'])} different "
        f"answers; ratified by {_names(merge['ratified'])}, declined by "
        f"{_names(merge['declined'])}."
    )


def _names(ids: list[str]) -> str:
    return ", ".join(printable(id_) for id_ in ids) or "nobody"


def _independence(report: Mapping[str, Any], voters: int) -> Iterator[str]:
    yield ""
    for name, found in sorted(report["attributes"].items()):
        groups = [f"{printable(value)} {size}" for value, size in sorted(found["groups"].items())]
        if found["undeclared"]:
            groups.append(f"undeclared {found['undeclared']}")
        worst = ", the worst" if name == report["worst"] else ""
        yield (
            f"Failing together by {printable(name)}{worst}: {', '.join(groups)}; it bears "
            f"{found['faults'] or 'none'} of these groups faulty, with a quorum of "
            f"{counted(found['quorum'], 'expert')}."
        )
    if report["effective_voters"] is None:
        yield f"Effective voters of {voters}: not known, {printable(str(report['why']))}"
    else:
        yield (
            f"Effective voters: {_number(report['effective_voters'])} of {voters}, as errors "
            f"correlate by {_number(report['correlation'])} over "
            f"{counted(report['outcomes'], 'outcome')}"
        )


def _consultation(consultation: Mapping[str, Any]) -> Iterator[str]:
    verdict = consultation["body"]["verdict"]
    yield ""
    yield (
        f"Consulted as {printable(consultation['expert_id'])}, of route weight "
        f"{_number(consultation['route_weight'])}: {printable(describe(verdict, alone=False))}"
    )


def _parent(parent: Mapping[str, Any]) -> Iterator[str]:
    yield ""
    story = describe(parent["verdict"], alone=False)
    yield f"Before that ({parent['rule']}): {printable(story)}"
    for line in more(parent, alone=False):
        yield f"  {line}" if line else ""
