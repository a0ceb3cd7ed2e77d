"""Everything that an operator can say, as one frozen tree.

``tree.py`` the sections and their defaults · ``secret.py`` values that hide themselves · ``shape.py`` the paths of the tree
and their types · ``sources.py`` what was written, and where · ``load.py`` the sources in order of precedence, checked ·
``reference.py`` the page `docs/reference/settings.md`.
"""
