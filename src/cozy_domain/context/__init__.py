"""What stands in the prompt.

``assembly.py`` asks history, memory, knowledge and profile at once; all else is pure: ``intent.py`` which of them to ask ·
``answers.py`` whether what they say can be used · ``budget.py`` who gets how many tokens · ``head.py`` the stable
beginning · ``past.py`` history in whole exchanges · ``recall.py`` found items as data · ``prompt.py`` all of it to
messages · ``bundle.py`` the values.
"""
