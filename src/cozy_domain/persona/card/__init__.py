"""Character cards: the files in which other programs keep characters.

Sources: Character Card V2 (github.com/malfoyslastname/character-card-spec-v2, ``spec_v2.md``; V1 in ``spec_v1.md``) and V3
(github.com/kwaroran/character-card-spec-v3, ``SPEC_V3.md``), both as of 2026-11.

``card.py`` a card, checked and kept as it came · ``fields.py`` what we read of it · ``macros.py`` its placeholders ·
``examples.py`` its example conversations · ``book.py`` its lorebook · ``naming.py`` an id from its name · ``to_persona.py``
and ``from_persona.py`` the two directions (all pure). A card comes from strangers: nothing in it is followed, fetched, run
or evaluated, and it allows no tool. What a persona has no place for is kept, and given back unchanged.
"""
