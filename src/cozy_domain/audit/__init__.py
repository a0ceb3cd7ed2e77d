"""What must be remembered about what was done, in a form that shows tampering.

``events.py`` the records · ``chain.py`` HMACs and their check (pure) · ``ports.py`` AuditLog · ``sealer.py`` chains what was
committed.

Records hold ids, sizes and HMACs, never message text or tool arguments: erasing a person cannot break the chain.
"""
