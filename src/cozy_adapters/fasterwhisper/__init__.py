"""Recognition by a Whisper model in a local folder, by faster-whisper (MIT) and CTranslate2. Nothing is downloaded.

``folder`` what is in the folder, what is missing, and what the model can do
``worker`` the program that hears, in a process of its own
"""
