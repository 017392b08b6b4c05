"""Human oversight: anyone with the ledger's key can halt, resume, and override a decision.

>>> from quorate.hub import Expert, Hub
>>> from quorate.hub.oversight import HaltedError, Oversight
>>> from quorate.ledger import Ledger
>>> ledger = Ledger.open("memory:")
>>> hub = Hub([Expert("a", lambda task: "yes", confidence=1)], ledger=ledger)
>>> sealed = Oversight(ledger).halt("J. Doe", "it misjudges")
>>> try:
...     hub.dispatch("question")
... except HaltedError as error:
...     print(error.halt.by)
J. Doe

From the moment a halt is in the ledger, whichever process sealed it, the hub and
``quorate run`` ask no expert anything. What was being asked is cancelled, within
:data:`POLL_SECONDS`, where it can be; a plain function in a thread cannot, and what it
answers is thrown away. An override changes nothing that is sealed: it says beside the
decision what a person put in its place.
"""

from quorate.hub.oversight.guard import POLL_SECONDS, Guard
from quorate.hub.oversight.record import HaltedError, OverriddenError, Oversight
from quorate.hub.oversight.rules import (
    KIND,
    RESUME_RULE,
    RULE,
    Halt,
    Override,
    Reference,
    Resume,
    Standing,
    State,
)

__all__ = [
    "KIND",
    "POLL_SECONDS",
    "RESUME_RULE",
    "RULE",
    "Guard",
    "Halt",
    "HaltedError",
    "OverriddenError",
    "Override",
    "Oversight",
    "Reference",
    "Resume",
    "Standing",
    "State",
]
