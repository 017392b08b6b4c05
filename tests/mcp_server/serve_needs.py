"""The MCP SDK, without which these tests are skipped."""

import importlib
import os

import pytest


def need(module="mcp"):
    """Import a library of an extra; without it skip, but not where all are to be there."""
    if "QUORATE_ALL_ADAPTERS" in os.environ:
        return importlib.import_module(module)
    return pytest.importorskip(module, reason=f"{module} is not installed; make test-adapters")
