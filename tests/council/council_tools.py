"""Small councils, a clock to turn by hand, and hands to tamper with a ledger."""

from fractions import Fraction

from council_twin import EXPIRY

from quorate.core.canonical import canonical
from quorate.core.identity import Ed25519Signer
from quorate.council import (
    ConsensusConfig,
    ConsensusProtocol,
    Vote,
    VoteValue,
    sign_proposal,
    sign_vote,
)
from quorate.council.rules import machine
from quorate.council.rules.electorate import Electorate
from quorate.council.rules.proposal import Begun, Cancellation, Proposal, Subject
from quorate.council.rules.values import token_digest
from quorate.council.sealed import replay
from quorate.ledger import Ledger
from quorate.ledger.replay import ReplayContext

KEY = Ed25519Signer(b"\x05" * 32)
SIGNERS = {voter: Ed25519Signer(bytes([65 + n]) * 32) for n, voter in enumerate("abcde")}
KEYS = {voter: signer.verifier for voter, signer in SIGNERS.items()}


class Clock:
    """Stands still until it is turned."""

    def __init__(self, now=1_000_000):
        self.now = now

    def __call__(self):
        return self.now

    def wait(self, seconds):
        self.now += int(seconds * 1_000_000)


def council(voters="abcde", **options):
    """A council with a clock that stands still, by which its ledger goes too."""
    ledger = options.get("ledger")
    if isinstance(ledger, Ledger):
        clock = options.pop("clock", ledger.clock)
        ledger._clock = ledger._appender._clock = clock
    else:
        clock = options.pop("clock", Clock())
    return ConsensusProtocol(list(voters), clock=clock, **options)


def approve(protocol, proposal_id, voters):
    for voter in voters:
        protocol.vote(proposal_id, voter, VoteValue.APPROVE)


def passed(protocol, proposal_id, voters):
    """Let voters approve and seal the decision."""
    approve(protocol, proposal_id, voters)
    return protocol.tally(proposal_id)


def keyed(**options):
    """A council of four whose voters all have keys."""
    return council("abcd", keys={v: KEYS[v] for v in "abcd"}, **options)


def put(c, voter, *rest, **options):
    """Propose what the voter has signed."""
    return c.propose(
        voter, *rest, signature=sign_proposal(SIGNERS[voter], c.request(voter, *rest)), **options
    )


def signed_through(c, p, voters="abc"):
    """Let voters approve by their signatures and seal the decision."""
    for voter in voters:
        c.vote(
            p, voter, "approve", signature=sign_vote(SIGNERS[voter], c.get_proposal(p), "approve")
        )
    assert c.tally(p).approved
    return p


def proposal_under(rules):
    """The proposal that a twin's rules are about, opened at 0, with its expiry."""
    config = ConsensusConfig(
        rules.quorum, rules.majority, rules.supermajority, allow_vote_change=rules.change
    )
    subject = Subject(
        council_id="c",
        genesis="0" * 64,
        id="p1",
        proposer_id=rules.proposer or next(iter(rules.weights)),
        action="terminate" if rules.critical else "quarantine",
        critical=rules.critical,
        target=rules.target,
        evidence_digest="0" * 64,
        opened_at=0,
        expires_at=EXPIRY,
        electorate=Electorate({v: Fraction(w) for v, w in rules.weights.items()}),
        config=config,
        epoch=0,
    )
    return Proposal(subject)


def act(proposal, operation, *, late):  # noqa: PLR0911 - one line for each
    """One operation of the twin, on the real thing; raises where it is refused."""
    name, *rest = operation
    at = EXPIRY if late else EXPIRY - 1
    if name == "wait":
        return proposal
    if name == "vote":
        standing = proposal.votes.get(rest[0])
        revision = 0 if standing is None else standing.revision + 1
        return machine.cast(proposal, Vote(rest[0], VoteValue(rest[1]), None, at, revision))
    if name == "cancel":
        return machine.call_off(proposal, Cancellation(rest[0], None, at))
    if name in ("tally", "close"):
        return machine.decide(proposal, at)
    if name == "begin":
        begun = Begun(at, executor="x", token_digest=token_digest("token"), due=at)
        return machine.begin(proposal, begun)
    verb, outcome = name.split()
    if verb == "finish":
        return machine.finish(proposal, "token", outcome, {})
    return machine.resolve(proposal, outcome, {}, at)


def seen(proposal):
    """What the twin's ``State.seen`` says, of the real thing."""
    votes = {voter: vote.value.value for voter, vote in proposal.votes.items()}
    calls = frozenset(proposal.cancellations)
    return (proposal.state.value, proposal.decision.value, votes, calls)


def sql(ledger, statement, *values):
    return ledger.store._db.execute(statement, values).fetchall()


def forged(ledger, protocol, event, **members):
    """Seal an event past all checks, in its right place and with the ledger's own key."""
    book = protocol._seat.book
    body = book.draft(event, book.last_at, **members)
    return ledger.append("council", body, trace_id=book.council_id)


def rewrite_body(ledger, seq, change):
    """Change a stored body and nothing else."""
    body = ledger.get(seq).payload
    change(body)
    sql(
        ledger, "UPDATE entries SET body = CAST(? AS TEXT) WHERE seq = ?",
        canonical(body).decode(), seq,
    )  # fmt: skip


def changed(body, *path, to):
    """A copy of a body with one value changed."""
    if not path:
        return to
    copy = dict(body) if isinstance(body, dict) else list(body)
    copy[path[0]] = changed(copy[path[0]], *path[1:], to=to)
    return copy


def verify_all(ledger):
    """What ``verify --replay`` does with the council's entries."""
    context = ReplayContext()
    for receipt in ledger:
        context.seq, context.current = receipt.seq, receipt.entry
        replay(receipt.kind, receipt.payload, context)
        replay(receipt.kind, receipt.payload)
