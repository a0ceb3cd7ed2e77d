"""Who asks, what they may, and how often.

``caller.py`` Caller, Role · ``keys.py`` API keys: make, parse, check (pure) · ``limits.py`` how often (pure) ·
``seats.py`` how much at once (pure) · ``ports.py`` KeyStore, LimitStore.
"""
