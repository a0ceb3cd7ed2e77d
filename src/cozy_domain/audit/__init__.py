"""What must be remembered about what was done, in a form that shows tampering.

``events.py`` the records · ``chain.py`` HMACs and their check (pure) · ``ports.py`` AuditLog, AuditAnchor · ``sealer.py``
chains what was committed, and anchors the end of the chain outside of the store · ``check.py`` checks a log as it is.

Records hold ids, sizes and HMACs, never message text or tool arguments: erasing a person cannot break the chain.
"""
