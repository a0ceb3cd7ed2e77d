"""OpenAI chat completions on the wire (API of 2026-08; openai-python 3.54, openai-node 7.57): `request`, `reply`."""
