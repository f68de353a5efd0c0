"""Functions as machine code."""

from collections.abc import Callable
from typing import Any

import numba


def compile_kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as machine code, kept on disk between runs where there is a place to write to; it lets other threads run.

    It is called with plain tuples: what is kept names the classes of its arguments, and a version of the package that names
    them otherwise could not read it.
    """
    try:
        kernel = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:
        kernel = numba.njit(nogil=True, error_model="numpy")(function)
    return kernel
