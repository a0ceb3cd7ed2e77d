"""``cozy chat``: a conversation in a terminal.

``said.py`` what is told of a turn, wherever it runs · ``local.py`` turns in this process · ``remote.py`` turns on a server,
over HTTP · ``screen.py`` how it looks, for people and for scripts · ``typed.py`` what a typed line means (pure) ·
``words.py`` English and Chinese · ``background.py`` the event loop beside the terminal · ``conversation.py`` reading,
answering, stopping · ``command.py`` the options.
"""
