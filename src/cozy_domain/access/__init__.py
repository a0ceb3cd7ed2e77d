"""Who asks, and what they may.

``caller.py`` Caller, Role · ``keys.py`` API keys: make, parse, check (pure) · ``ports.py`` KeyStore.
"""
