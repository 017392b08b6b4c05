"""The border between a salt and its body, which a commitment alone does not show."""

import pytest
from ledger_tools import POLICY, ledger_of, put_rows, rows

from quorate.core.errors import VerificationError
from quorate.ledger.entries import commit


def test_part_of_a_body_cannot_pass_into_its_salt():
    with ledger_of(1) as ledger:
        ledger.append("note", 123)
        first, (seq, entry, body, salt, *rest) = rows(ledger)
        moved = (seq, entry, body[1:], salt + body[:1], *rest)
        assert body == b"123"
        assert commit(moved[3], moved[2]) == commit(salt, body)
        put_rows(ledger, [first, moved])
        with pytest.raises(VerificationError, match="salt") as caught:
            ledger.verify(policy=POLICY)
        assert (caught.value.index, caught.value.rule) == (1, "commitment")
