"""Audio files and packets, by PyAV (FFmpeg).

``files``    PyAvAudioCodec: the port; untrusted files go to a process of their own
``sandbox``  that process: decodes one file under limits, and ends
``sniffing`` what a file is by its first bytes, for the message that refuses it (pure)
``encoding`` writes MP3, Opus, AAC, FLAC, WAV and PCM while the sound is being made
``wav``      the header of a WAV file
``frames``   packets of live streams: Opus, and PCM at another rate
``libopus``  Opus without FFmpeg around it
"""
