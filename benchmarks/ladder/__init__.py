"""Does the ladder pay? Two answers that anyone can compute again.

    python -m benchmarks.ladder            # both
    python -m benchmarks.ladder stories    # (a) failure stories on the fake provider
    python -m benchmarks.ladder simulate   # (b) Monte-Carlo with published figures

What comes out, and what follows from it, is told in ``docs/escalation.md``.
"""
