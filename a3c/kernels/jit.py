"""Compile kernels: flags, the cache on disk, and views that cost nothing.

Every kernel names its signature, so it is compiled (or loaded from the cache) when its module is imported: never
in the middle of a run, never in two threads at once, never once more for another type.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any, TypeVar

import numba
from numba import types
from numba.core.errors import NumbaError
from numba.extending import intrinsic

njit: Any = numba.njit  # whose types leave open what it returns
carray: Any = numba.carray  # type: ignore[attr-defined]

Function = TypeVar("Function", bound=Callable[..., Any])

# Sums may be reordered and products fused, which is what makes them vectors. What assumes finite numbers ("nnan",
# "ninf", all of fastmath=True) would delete the very checks that find divergence.
FLAGS = {"fastmath": {"reassoc", "contract", "nsz"}, "error_model": "numpy"}
LOG = logging.getLogger(__name__)

# Part of the name that Numba's cache goes by: it checks the age of the file a kernel stands in, but not at those of
# what the kernel calls, and an interrupted write can leave it with old code under a new date.
SOURCES = sorted(Path(__file__).parent.glob("*.py"))
DIGEST = hashlib.sha256(b"".join(path.read_bytes() for path in SOURCES)).hexdigest()[:8]


def kernel(signature: str, *, nogil: bool = False) -> Callable[[Function], Function]:
    """Compile a function for one signature, and keep the machine code beside the source or in the user's cache.

    A cache that cannot be written or read costs the time of compiling, in every process anew, and nothing else.

    Args:
        signature: as Numba writes it, such as ``float64(float32[::1], intp)``.
        nogil: whether the GIL is released while it runs. That costs more than a short kernel takes, and lets
            threads fight over the GIL at its end: only for those of tens of microseconds and more.
    """
    options = {**FLAGS, "nogil": nogil}

    def compiled(function: Function) -> Function:
        function.__qualname__ = f"{function.__name__}_{DIGEST}"
        cached: Any = None
        try:
            cached = njit(cache=True, **options)(function)
            fast: Function = _compile(cached, signature)
        except NumbaError:  # a mistake in the kernel
            raise
        except Exception as error:  # no folder to cache in, a full disk, a damaged file
            _warn_once(f"kernels are compiled without a cache, which takes time: {type(error).__name__}: {error}")
            if cached is not None:
                _forget(cached, function.__qualname__)
            fast = _compile(njit(**options)(function), signature)
        return fast

    return compiled


def _compile(function: Any, signature: str) -> Any:
    """Compile for one signature, or load that from the cache, and for no other ever."""
    folder = function.stats.cache_path
    if folder is not None and not any(Path(folder).glob(f"*.{function.__qualname__}-*.nbi")):
        _warn_once("compiling kernels: about ten seconds, once")
        _forget(function, f"{function.__name__}_{'?' * len(DIGEST)}")
    function.compile(signature)
    function.disable_compile()
    return function


def _forget(function: Any, name: str) -> None:
    """Delete machine code from the cache: of sources that are no more, or what is damaged."""
    for path in Path(function.stats.cache_path).glob(f"*.{name}-*.nb[ci]"):
        with suppress(OSError):
            path.unlink()


@cache
def _warn_once(text: str) -> None:
    LOG.warning("%s", text)


def without_gil(signature: str, fast: Any) -> Any:
    """Return a kernel that does the same as ``fast`` and releases the GIL meanwhile."""
    function = fast.py_func
    twin = FunctionType(function.__code__, function.__globals__, f"{function.__name__}_long")
    twin.__doc__ = function.__doc__
    return kernel(signature, nogil=True)(twin)


def helper(function: Function) -> Function:
    """Compile a function that kernels call, with whatever types they call it with."""
    fast: Function = njit(**FLAGS)(function)
    return fast


def _view_of(scalar: Any) -> Any:
    """Make the function that returns the array of ``scalar``, of a shape, at an address."""

    def pointer_to(typing_context: Any, address: Any) -> Any:
        signature = types.CPointer(scalar)(types.intp)  # type: ignore[no-untyped-call]

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

        return signature, generate

    pointer: Any = intrinsic(pointer_to)

    def view(address: int, shape: Any) -> Any:
        return carray(pointer(address), shape)

    return njit(view)


# The array ``shape`` at an address, in kernels only. Numba counts references to the slices of an array, which takes
# longer than a small layer's arithmetic; these views are not counted: whoever calls the kernel keeps memory alive.
floats, doubles, integers = (_view_of(scalar) for scalar in (types.float32, types.float64, types.int64))
