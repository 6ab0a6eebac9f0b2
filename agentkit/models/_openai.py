"""Import ``openai`` at half its price, by leaving out the types we never use.

``import openai`` (3.54, 2026-11) costs about 0.6 s of CPU, half of it for the ``__init__`` files
of the packages under ``openai.types``: some 700 modules of pydantic models for every endpoint.
We send bytes and parse bytes, so none of them is needed on our way.

While our first import runs, those packages are put in place *unexecuted*. The first attribute
that anybody asks of one executes it, with its own loader, so whoever imports
``openai.types.chat.ChatCompletion`` later gets the very same class as ever. Single modules, and
everything outside ``openai.types``, load as usual. If this goes wrong in any way, the plain
import takes over.
"""

from __future__ import annotations

import importlib
import sys
import threading
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.abc import Loader, MetaPathFinder

_DEFERRED = "openai.types"
_lock = threading.RLock()


def load_openai() -> Any:
    """The ``openai`` package, with the packages under ``openai.types`` deferred.

    A package that was already imported is returned as it is.
    """
    with _lock:
        if "openai" in sys.modules:
            return sys.modules["openai"]
        finder = cast("MetaPathFinder", _Finder())
        sys.meta_path.insert(0, finder)
        try:
            return importlib.import_module("openai")
        except Exception:
            _forget()
        finally:
            sys.meta_path.remove(finder)
        return importlib.import_module("openai")


def _forget() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "openai"]:
        del sys.modules[name]


# Neither class derives from importlib.abc: that module alone costs 15 ms to import.


class _Finder:
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != _DEFERRED and not fullname.startswith(_DEFERRED + "."):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader and spec.submodule_search_locations is not None:
            spec.loader = cast("Loader", _Deferred(spec.loader))
        return spec


class _Deferred:
    """Gives a package its name and path at once, its content on the first question."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        def missing(name: str) -> Any:
            # Only __all__ is worth the load: other such names are probes of import machinery
            # and inspection, which expect an AttributeError.
            if name.startswith("__") and name != "__all__":
                raise AttributeError(name)
            self._fill(module)
            return getattr(module, name)

        def listing() -> list[str]:
            self._fill(module)
            return sorted(vars(module))

        vars(module).update(__getattr__=missing, __dir__=listing)

    def _fill(self, module: ModuleType) -> None:
        with _lock:
            if vars(module).pop("__getattr__", None) is None:
                return  # another thread was first
            vars(module).pop("__dir__", None)
            self._loader.exec_module(module)
