"""Places that clients take while they are served: so many in all, and of each client a share.

A bound of all clients together is one that a single token can use up, and then nobody else is
served. Who has no token, where tokens are asked for, is one client too.
"""

from __future__ import annotations

import contextlib
import resource
from collections import Counter
from collections.abc import Iterator

from quorate.mcp import bounds


def most_connections() -> int:
    """How many connections may be open: files are wanted for other things too."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    half = bounds.CONNECTIONS if files == resource.RLIM_INFINITY else files // 2
    return max(1, min(bounds.CONNECTIONS, half))


def share_of(most: int) -> int:
    """How many of ``most`` places one client may have."""
    return max(1, most // bounds.SHARE)


class Places:
    """So many places.

    Attributes:
        most: how many there are.
        share: how many of them one client may have.
        taken: how many are taken now.
    """

    def __init__(self, most: int) -> None:
        """Have ``most`` places, and never more than there are connections."""
        self.most = min(most, most_connections())
        self.share = share_of(self.most)
        self.taken = 0
        self._of: Counter[str] = Counter()

    def full_for(self, client: str | None) -> bool:
        """Whether a client has its share; ``None`` is no client that could have one."""
        return client is not None and self._of[client] >= self.share

    @property
    def full(self) -> bool:
        """Whether all are taken."""
        return self.taken >= self.most

    @contextlib.contextmanager
    def taken_by(self, client: str | None) -> Iterator[None]:
        """Take a place for as long as this lasts; that there is one has been asked before."""
        self.taken += 1
        if client is not None:
            self._of[client] += 1
        try:
            yield
        finally:
            self.taken -= 1
            if client is not None:
                self._of[client] -= 1
                if not self._of[client]:
                    del self._of[client]
