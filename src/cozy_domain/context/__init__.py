"""What stands in the prompt.

``assembly.py`` asks history, memory, knowledge and profile at once · ``intent.py`` which of them to ask (pure) ·
``budget.py`` who gets how many tokens (pure) · ``prompt.py`` bundle to messages (pure) · ``bundle.py`` the values.
"""
