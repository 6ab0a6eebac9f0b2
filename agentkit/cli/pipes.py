"""Standard input and output for a protocol alone."""

from __future__ import annotations

import os
import sys


def protocol_alone() -> tuple[int, int]:
    """Keep the two streams for a protocol: nothing else can read or write them by mistake.

    Commands of the local sandbox find an empty standard input, and what anybody prints goes to
    standard error.
    """
    sys.stdout.flush()
    reads, writes = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return reads, writes
