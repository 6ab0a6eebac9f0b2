"""The tools that a model may call: one file per tool."""
