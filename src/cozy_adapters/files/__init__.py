"""What stands in files. Written by people: ``personas.py`` the shipped personas and a folder of more · ``parse.py`` one YAML
file · ``shipped/`` the personas that come with the engine. Written by us: ``audit_anchor.py``.
"""
