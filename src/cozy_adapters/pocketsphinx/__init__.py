"""Recognition without a network: PocketSphinx (BSD), English, demo quality. Held to a list of phrases it is reliable.

``recogniser`` PocketsphinxSpeechToText: the port
``workers``    the processes that do the work, because the library holds the interpreter's lock
``worker``     the program that they run
``wire``       what both say to each other
``phrases``    a phrase as the dictionary has it, and the grammar of several (pure)
"""
