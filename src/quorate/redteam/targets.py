"""What can be attacked, by name: scripted targets, registered ones, and Python functions."""

from __future__ import annotations

import difflib
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from quorate.arbitration.forms import shown, text
from quorate.core.errors import UsageError
from quorate.hub.beside import beside, resolve
from quorate.redteam import bounds
from quorate.redteam.scripted import PREFIX, SCRIPTED

_lock: Final = threading.Lock()
_registered: Final[dict[str, Callable[..., Any]]] = {}


def builtin() -> Mapping[str, Callable[..., Any]]:
    """The scripted targets by name; no evidence of anything but that a scan works."""
    return SCRIPTED


def register_target(name: str, target: Callable[..., Any]) -> None:
    """Give a target a name by which scans can be started.

    Args:
        name: such as ``staff-desk``; not one that begins with ``scripted-``.
        target: takes a :class:`Request`, gives a :class:`Reply`, a text, or
            ``{"text": …, "tool_calls": […]}``; plain or async.

    Raises:
        UsageError: the name is taken or reserved, it cannot be called, or there are too many.
    """
    name = text(name, "the target's name")
    if name.startswith(PREFIX):
        raise UsageError(f"the target's name {name!r} begins with {PREFIX}, as built-in ones do")
    if ":" in name:
        raise UsageError(f"the target's name {name!r} has a colon, as a function's has")
    if not callable(target):
        raise UsageError(f"the target {name!r} is {shown(target)}, which cannot be called")
    with _lock:
        if name in _registered:
            raise UsageError(f"there is a target {name!r} already; give this one another name")
        if len(_registered) >= bounds.MAX_TARGETS:
            raise UsageError(f"at most {bounds.MAX_TARGETS} targets can be registered")
        _registered[name] = target


def unregister_target(name: str) -> None:
    """Take a registered target out again.

    Raises:
        UsageError: there is none of that name.
    """
    with _lock:
        if _registered.pop(name, None) is None:
            raise UsageError(f"there is no registered target {shown(name)}")


def targets() -> Mapping[str, Callable[..., Any]]:
    """All targets that have a name, those built in first."""
    with _lock:
        return MappingProxyType({**SCRIPTED, **_registered})


def find_target(name: object) -> Callable[..., Any]:
    """The target of that name.

    Raises:
        UsageError: there is none; names those that are near.
    """
    known = targets()
    found = known.get(name) if isinstance(name, str) else None
    if found is None:
        near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
        raise UsageError(f"there is no target {shown(name)}; {hint}")
    return found


@contextmanager
def named(target: str, folder: Path | None = None) -> Iterator[Callable[..., Any]]:
    """Have the target at hand that a name, ``module:function`` or ``FILE.py:function`` means.

    Modules are looked for in ``folder`` first (the working folder if ``None``), for as long
    as the target is in use. A function is somebody's code, and it is run.

    Raises:
        UsageError: there is none, or it cannot be imported.
    """
    where, colon, name = target.rpartition(":")
    if not colon:
        yield find_target(target)
        return
    at, module = folder or Path.cwd(), where
    if where.endswith(".py"):
        file = at / where
        if not file.is_file():
            raise UsageError(f"there is no file {file} that has a function {name!r}")
        at, module = file.parent, file.stem
    if not all(part.isidentifier() for part in (*module.split("."), name)):
        raise UsageError(f"{target!r} is no module:function, nor FILE.py:function")
    with beside(at).importable({module.partition(".")[0]}):
        yield resolve(f"{module}:{name}")
