"""Learning beside the dispatching: the standing is brought up to date in a thread of its own.

Whoever asks for a success rate gets the last one that was worked out, and never waits.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from fractions import Fraction

from quorate.core import limits
from quorate.core.errors import QuorateError, UsageError
from quorate.core.threads import threads
from quorate.hub.registry import UNKNOWN_RATE
from quorate.hub.standing import Standing
from quorate.ledger import Receipt

_log = logging.getLogger("quorate.hub")


class Learning:
    """Success rates as they were last worked out, and the working out.

    Attributes:
        standing: what is brought up to date.
    """

    def __init__(self, standing: Standing) -> None:
        """Take the rates as they stand."""
        self.standing = standing
        self._turn = threading.Condition()
        self._news = False
        self._handed: list[Receipt] = []
        self._running = False
        self._rates: dict[str, Fraction] = {}
        self._look()

    def success_rate(self, expert_id: str, /) -> Fraction:
        """Share of its tasks in which that expert succeeded, as last worked out; 1/2 if unknown."""
        return self._rates.get(expert_id, UNKNOWN_RATE)

    @property
    def rates(self) -> Mapping[str, Fraction]:
        """All rates as last worked out; another object whenever they are worked out again."""
        return self._rates

    def tell(self, sealed: Sequence[Receipt] = ()) -> None:
        """Say that something was sealed; it is taken in soon.

        Args:
            sealed: what it was, where that is at hand, in order of the log; what is not is
                read from there.
        """
        with self._turn:
            self._handed += sealed
            if not sealed or len(self._handed) > limits.MAX_BATCH:
                # Too many to be held: the ledger has them all.
                self._handed.clear()
                self._news = True
            if self._running:
                return
            self._running = True
        try:
            threads.submit(self._work)
        except RuntimeError:
            self._running = False
            raise

    def now(self) -> None:
        """Take in everything that is sealed, and wait for it.

        Raises:
            VerificationError: an entry is damaged.
            StoreError: the ledger cannot be read or written.
        """
        self.standing.catch_up()
        self._look()

    def settle(self) -> None:
        """Wait until nothing is being worked out."""
        with self._turn:
            self._turn.wait_for(lambda: not self._running)

    def _work(self) -> None:
        while True:
            with self._turn:
                news, handed = self._news, self._handed
                if not news and not handed:
                    self._running = False
                    self._turn.notify_all()
                    return
                self._news, self._handed = False, []
            try:
                self.standing.take_in(handed)
                if news:
                    self.standing.catch_up()
                self._look()
            except UsageError:
                # Closed under us: the next to open the ledger reads what is left.
                _log.debug("the ledger was closed before all of it was learnt from")
            # What was decided and sealed stands; the rates stay as they were.
            except QuorateError:
                _log.exception("what was sealed could not be read back, to learn from it")

    def _look(self) -> None:
        standing = self.standing
        self._rates = {name: standing.success_rate(name) for name in standing.ids}
