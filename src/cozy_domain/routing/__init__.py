"""Which model answers.

``choice.py`` a name asked for → persona and models in order of fallback (pure) · ``circuit.py`` breaker (pure).
"""
