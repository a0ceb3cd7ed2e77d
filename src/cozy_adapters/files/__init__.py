"""What people write in files: ``personas.py`` the shipped personas and a folder of more · ``parse.py`` one YAML file ·
``shipped/`` the personas that come with the engine.
"""
