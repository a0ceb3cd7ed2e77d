"""``cozy doctor``: what keeps it from working well, with cause and fix.

``finding.py`` what a check found · ``words.py`` the same in English and Chinese · ``machine.py`` ``store.py`` ``models.py``
the checks · ``command.py`` all of them, in order, on a terminal or as JSON.
"""
