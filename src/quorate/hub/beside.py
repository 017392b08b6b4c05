"""Importing the modules that stand beside a panel file.

Theory of operation. While a panel is loaded, and while it runs, modules in its folder are
found before installed ones of the same name; experts may import them at the top of their
module or inside a call. Afterwards they are taken out of the interpreter again and kept
here, so that another panel in this process, with modules of the same names, gets its own.
Modules of the standard library are never shadowed, but for one that an expert's ``call``
names while the panel is loaded.
"""

from __future__ import annotations

import difflib
import importlib
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from quorate.core.errors import UsageError

_lock = threading.RLock()


class Beside:
    """The modules beside one panel file; one object per folder, from :func:`beside`."""

    def __init__(self, folder: Path) -> None:
        """Use :func:`beside`."""
        self._folder = folder
        self._finder = _Finder(folder)
        self._modules: dict[str, ModuleType] = {}
        self._there_before: frozenset[str] = frozenset()
        self._users = 0

    @contextmanager
    def importable(self, called: Iterable[str] = ()) -> Iterator[None]:
        """Let modules in the folder be found; those ``called`` before any loaded already."""
        tops = {name.partition(".")[0] for name in called}
        with _lock:
            hidden = self._hide(tops)
            self._enter(tops)
        try:
            yield
        finally:
            with _lock:
                self._leave()
                if hidden:
                    self._take_out({_top(name) for name in hidden})
                    sys.modules.update(hidden)

    def _hide(self, tops: set[str]) -> dict[str, ModuleType]:
        """Hide other modules of that name that are loaded, such as the standard library's."""
        hidden: dict[str, ModuleType] = {}
        for top in tops:
            if self._has(top) and not self._owns(top):
                for name in [n for n in sys.modules if _top(n) == top]:
                    hidden[name] = sys.modules.pop(name)
        return hidden

    def _enter(self, tops: set[str]) -> None:
        if not self._users:
            self._there_before = frozenset(sys.modules)
            self._finder.called = set()
            sys.meta_path.insert(0, self._finder)
            # For processes that an expert may start, and for folders that are packages.
            sys.path.append(str(self._folder))
            importlib.invalidate_caches()
        self._users += 1
        self._finder.called |= tops
        for name, module in self._modules.items():
            if self._finder.may_find(_top(name)):
                sys.modules.setdefault(name, module)

    def _leave(self) -> None:
        self._users -= 1
        if not self._users:
            sys.meta_path.remove(self._finder)
            # An expert may have taken it off itself.
            if str(self._folder) in sys.path:
                sys.path.remove(str(self._folder))
            self._take_out({_top(name) for name in sys.modules} - self._there_before)

    def _take_out(self, tops: set[str]) -> None:
        for top in filter(self._owns, tops):
            for name in [n for n in sys.modules if _top(n) == top]:
                self._modules[name] = sys.modules.pop(name)

    def _has(self, top: str) -> bool:
        folder = self._folder
        return (folder / f"{top}.py").is_file() or (folder / top / "__init__.py").is_file()

    def _owns(self, top: str) -> bool:
        """Whether the module loaded under that name stands in the folder.

        Only there: an environment with all its packages may lie further down in it.
        """
        file = getattr(sys.modules.get(top), "__file__", None)
        if not isinstance(file, str):
            return False
        return Path(file).resolve().parent in {self._folder, self._folder / top}


class _Finder:
    """Finds top-level modules of one folder."""

    def __init__(self, folder: Path) -> None:
        self._path = [str(folder)]
        self.called: set[str] = set()

    def may_find(self, name: str) -> bool:
        """Whether a module of that name may come from the folder."""
        return name in self.called or name not in sys.stdlib_module_names

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module as the import system asks for it."""
        if path is not None or "." in name or not self.may_find(name):
            return None
        spec = PathFinder.find_spec(name, self._path, target)
        # A folder without __init__.py must not win over an installed package.
        return None if spec is None or spec.loader is None else spec


def _top(name: str) -> str:
    return name.partition(".")[0]


def beside(folder: Path) -> Beside:
    """The modules of that folder."""
    return _of(folder.resolve())


@cache
def _of(folder: Path) -> Beside:
    return Beside(folder)


def resolve(call: str) -> Callable[[Any], Any]:
    """Import the function that ``module:function`` names.

    Raises:
        UsageError: there is none, and why.
    """
    module_name, _, name = call.partition(":")
    try:
        module = importlib.import_module(module_name)
    # Importing runs the module, and a module may raise anything.
    except (Exception, SystemExit) as error:
        raise UsageError(
            f"{module_name!r} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    function = getattr(module, name, None)
    if function is None:
        near = difflib.get_close_matches(name, [n for n in vars(module) if n[0] != "_"], n=1)
        raise UsageError(
            f"{module_name!r} has no {name!r}" + (f"; did you mean {near[0]!r}?" if near else "")
        )
    if not callable(function):
        raise UsageError(f"{call} is {type(function).__name__}, which cannot be called")
    return function  # type: ignore[no-any-return] # any callable will do
