"""Characters.

``persona.py`` Persona and its validity rules · ``document.py`` one as it was written, and what can be wrong with it ·
``schema.py`` its shape and unknown keys, ``fit.py`` whether it fits, ``inherit.py`` what a child takes, ``resolve.py`` all
of them from document to persona, ``surroundings.py`` what one names that the server lacks (all pure) · ``catalog.py`` an
immutable snapshot of all personas, swapped whole on reload · ``ports.py`` PersonaFiles, PersonaRevisions.
"""
