"""Panels for the tests of halting, and those who meddle with what they keep."""

from quorate.hub import Expert


def counting(said, calls):
    def function(task):
        calls.append(task)
        return said

    return function


def panel(calls, said="yes"):
    return [Expert(name, counting(said, calls), confidence=1) for name in "abc"]


def tamper(ledger, statement, *values):
    """Change the store as somebody does who has the file and no key."""
    with ledger.store.transaction():
        ledger.store._db.execute(statement, values)


def between(monkeypatch, ledger, act):
    """Have somebody act once, after all looks and right before the next entries are written."""
    real, acted = ledger.append_all, []

    def append_all(items, **more):
        if not acted:
            acted.append(True)
            act()
        return real(items, **more)

    monkeypatch.setattr(ledger, "append_all", append_all)
