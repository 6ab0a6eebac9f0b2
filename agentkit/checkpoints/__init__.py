"""Checkpoints of the workspace, tied to the log: see ``docs/checkpoints.md``."""
