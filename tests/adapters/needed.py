"""What several tests of adapters need."""

import asyncio
import importlib
import os
from collections.abc import Callable
from typing import Any

import pytest


def need(module: str) -> Any:
    """Import a library of an extra; without it skip, but not where all are to be there."""
    if "QUORATE_ALL_ADAPTERS" in os.environ:
        return importlib.import_module(module)
    return pytest.importorskip(module, reason=f"{module} is not installed; make test-adapters")


def cancelled_once(expert: Any, asked: Callable[[], Any]) -> bool:
    """Cancel a call when its peer has been asked; whether it ended as cancelled."""

    async def go() -> bool:
        call = asyncio.create_task(expert("Is it so?"))
        while not asked() and not call.done():  # noqa: ASYNC110 - a peer in another thread
            await asyncio.sleep(0.01)
        call.cancel()
        await asyncio.wait({call})
        await expert.aclose()
        return call.cancelled()

    return asyncio.run(go())
