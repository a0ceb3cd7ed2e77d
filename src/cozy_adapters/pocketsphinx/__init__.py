"""Recognition without a network: PocketSphinx (BSD), English, demo quality. Held to a list of phrases it is reliable.

``recogniser`` PocketsphinxSpeechToText: the port
``worker``     the program that hears, in processes of its own, because the library holds the interpreter's lock
``wire``       what both say to each other
``phrases``    a phrase as the dictionary has it, and the grammar of several (pure)
"""
