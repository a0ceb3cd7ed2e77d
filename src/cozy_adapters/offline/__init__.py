"""What answers with no key and no network, and says so.

``language_model.py`` the LanguageModel · ``reading.py`` what stands in a request · ``questions.py`` what is asked ·
``names.py`` what the user is called · ``reply.py`` what is answered · ``words.py`` in which words · ``dates.py`` the time in
Chinese (all pure but the first) · ``embedder.py`` the Embedder.
"""
