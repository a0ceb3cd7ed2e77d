"""Voices without a network: espeak-ng (GPL-3.0-or-later), loaded at run time from the optional package ``espeakng-loader``.

It sounds like a machine; what it offers is speech with no key, at a thousandth of real time. The library is C that crashes
on some texts and keeps what one text told it for the next, so it lives in processes of its own.

``voices``   which voice, how fast, which characters (pure)
``wire``     what is said between us and such a process
``library``  the library itself; only the process knows it
``worker``   the process
``speaker``  EspeakTextToSpeech: the port, and its processes
"""
