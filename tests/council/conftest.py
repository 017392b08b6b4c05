"""A council over a ledger, told as far as most tests need it."""

import pytest
from council_tools import KEY, Clock, council, passed

from quorate.ledger import Ledger


@pytest.fixture
def ledger():
    with Ledger.open("memory:", signer=KEY, origin="example.org/council", clock=Clock()) as opened:
        yield opened


@pytest.fixture
def told(ledger):
    """A council with one approved, one open and one refused proposal."""
    c = council(ledger=ledger)
    p = c.propose("a", "terminate", "agent", {"why": "rss"})
    passed(c, p, "abcd")
    q = c.propose("b", "quarantine", "agent")
    c.vote(q, "a", "reject", "no")
    r = c.propose("c", "restrict", "agent")
    for voter in "abc":
        c.vote(r, voter, "reject")
    c.tally(r)
    return c
