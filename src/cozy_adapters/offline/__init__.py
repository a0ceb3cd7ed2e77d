"""What answers with no key and no network, and says so.

``language_model.py`` the LanguageModel · ``reading.py`` what stands in a request · ``questions.py`` what is asked ·
``reply.py`` what is answered · ``words.py`` in which words (all pure but the first).
"""
