"""Ledgers to collect from: small, with everything in them, and ways to tamper with copies."""

import asyncio
import shutil
import sqlite3
from datetime import UTC, datetime, timedelta
from fractions import Fraction

from quorate.arbitration import Arbiter
from quorate.compliance import EvidenceSet, System, evaluate
from quorate.compliance.collect import seal_evidence, survey
from quorate.compliance.declaring import declare_system
from quorate.compliance.drill_work import scripted
from quorate.compliance.drills import halt_drill, override_drill
from quorate.core.canonical import digest
from quorate.core.identity import Ed25519Signer
from quorate.core.independence import Independence
from quorate.hub import Expert, decide
from quorate.ledger import Ledger, Policy

SYSTEM = {"name": "triage", "version": "2.1.0"}
SCOPE = {"system": "triage", "version": "2.1.0"}
NEXT_SCOPE = {"system": "triage", "version": "2.2.0"}
DATA = "sha256:" + "a" * 64
DAY = 86_400_000_000


def declaration(arbiter, names="abcd", **more):
    """A panel of four that bears one fault."""
    return {
        "rule": "panel/1",
        "protocol": arbiter.protocol,
        "parameters": arbiter.parameters,
        "roster": dict.fromkeys(names, "1"),
        "experts": {name: {"kind": "python", **more} for name in names},
    }


def experts(declared):
    return [
        Expert(
            name,
            lambda task, name=name: name if task == "split" else "yes",
            confidence=1,
            failure_domain=declared["experts"][name].get("failure_domain"),
        )
        for name in declared["roster"]
    ]


def domains(declared):
    """What the panel declares of failing together, or nothing."""
    told = {n: one["failure_domain"] for n, one in declared["experts"].items() if len(one) > 1}
    return Independence(told) if told else None


class Clock:
    """A clock that stands until it is moved, in microseconds since 1970."""

    def __init__(self, now=1_780_000_000_000_000):
        self.now = now

    def __call__(self):
        self.now += 1000
        return self.now

    @property
    def moment(self):
        return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=self.now + 1)


class Place:
    """A ledger in a file, its key, and the policy that trusts it."""

    def __init__(self, folder, name="ledger.db", clock=None):
        self.path = folder / name
        self.signer = Ed25519Signer.generate()
        self.policy = Policy.of([self.signer.verifier])
        self.clock = clock or Clock()

    def open(self):
        return Ledger.open(f"sqlite:///{self.path}", signer=self.signer, clock=self.clock)

    def decide(self, *tasks, panel=None):
        """Have tasks decided under a sealed panel; ``"split"`` is one on which nobody agrees."""
        declared = declaration(Arbiter(quorum=Fraction(3, 4))) if panel is None else panel
        arbiter = Arbiter(quorum=Fraction(declared["parameters"]["quorum"]))
        with self.open() as ledger:
            ledger.append("panel", declared, key=f"panel:{digest(declared)}")
            for task in tasks:
                named = {"id": task, "input_digest": digest(task)}
                work = decide(
                    experts(declared),
                    task,
                    arbiter,
                    task=named,
                    panel=digest(declared),
                    independence=domains(declared),
                )
                verdict = asyncio.run(work)
                ledger.append(verdict.kind, verdict.body, key=f"task:{task}")

    def declare(self, system=SYSTEM, since=0, silence_seconds=86_400):
        """Declare whose record it is, from its first entry on unless told."""
        with self.open() as ledger:
            return declare_system(
                ledger, system, by="J. Doe", since=since, silence_seconds=silence_seconds
            )

    def drill(self, kind="halt", scope=SCOPE):
        with self.open() as ledger:
            run = halt_drill if kind == "halt" else override_drill
            return run(ledger, scope=scope, by="J. Doe", work=scripted())

    def survey(self, **more):
        given = {"policy": self.policy, "system": SYSTEM, "now": self.clock.moment, **more}
        with self.open() as ledger:
            return survey(ledger, **given)

    def report(self, profile="full", **more):
        """Collect, seal, and evaluate."""
        found = self.survey(**more)
        with self.open() as ledger:
            items = seal_evidence(ledger, found.items, collected=found)
            receipts = tuple(ledger.get(item.receipt.seq) for item in items)
        system = System.read(SYSTEM)
        given = EvidenceSet(system, tuple(items), receipts)
        as_of = self.clock.moment.date()
        return evaluate(given, profile, as_of, policy=self.policy)

    def copy(self, folder):
        """The same in another file, to be tampered with."""
        other = Place(folder, "copy.db", Clock(self.clock.now))
        shutil.copyfile(self.path, other.path)
        other.signer, other.policy = self.signer, self.policy
        return other

    def tamper(self, statement, *values):
        db = sqlite3.connect(self.path)
        with db:
            db.execute(statement, values)
        db.close()


def shown(found):
    """Field -> item of those that passed."""
    return {item.field: item for item in found.items if item.status == "passed"}


def failed(found):
    """Field -> why, of those that failed."""
    return {item.field: item.data["reason"] for item in found.items if item.status == "failed"}


def lacking(found):
    """Name of the collector -> what is lacking."""
    return {one.collector: one.reason for one in found.lacking}


def whole_reason(found):
    """The one reason for which everything failed."""
    assert shown(found) == {}
    (reason,) = set(failed(found).values())
    assert found.broken == reason
    return reason
