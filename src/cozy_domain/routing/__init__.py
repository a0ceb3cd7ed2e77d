"""Which model answers.

``choice.py`` a name asked for → persona and models in order of fallback, and what of a request a model cannot do ·
``default.py`` the model of a server that nobody configured · ``embedding.py`` a name → the model that embeds · ``retry.py``
what follows a failure · ``circuit.py`` breaker · ``breakers.py`` those of many models (all pure).
"""
