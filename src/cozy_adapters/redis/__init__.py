"""Redis (6.2 or newer): what processes share and can do without.

``limits.py`` LimitStore, with its script ``take.lua`` · ``connections.py`` a pool, and one way for all its errors.
"""
