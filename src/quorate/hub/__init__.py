"""Runs experts: panels declared in a file, sessions, and streams of tasks."""

from quorate.hub.experts import Answer, Expert
from quorate.hub.panel import Panel
from quorate.hub.run import Run, RunSummary
from quorate.hub.session import Proposals, Session

__all__ = ["Answer", "Expert", "Panel", "Proposals", "Run", "RunSummary", "Session"]
