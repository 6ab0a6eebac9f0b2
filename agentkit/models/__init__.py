"""The DeepSeek dialect on top of the ``openai`` package; models and prices as dated data."""
