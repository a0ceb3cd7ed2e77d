"""Anthropic, and servers that speak its Messages API.

``chat.py`` the LanguageModel · ``request.py`` a request as bytes, ``content.py`` its messages · ``caching.py`` where the
prompt may be cached · ``wire.py`` Structs of what comes back · ``answer.py`` events to deltas · ``thinking.py`` what was
thought before tools were called (all of these pure) · ``failures.py`` what a refusal means, in the domain's words ·
``discovery.py`` whether this machine has a key.
"""
