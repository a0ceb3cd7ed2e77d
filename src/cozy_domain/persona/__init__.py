"""Characters.

``persona.py`` Persona and its validity rules · ``resolve.py`` inheritance (pure) · ``catalog.py`` an immutable snapshot of
all personas, swapped whole on reload · ``ports.py`` PersonaFiles, PersonaRevisions.
"""
