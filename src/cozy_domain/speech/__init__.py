"""Speech: sound to text and text to sound, as files and as streams.

``transcript``   what was heard: words, segments, times
``ports``        SpeechToText, TextToSpeech, AudioCodec, VoiceActivity
``choice``       which engine and voice, when a request names a model, a persona or a voice (pure)
``detection``    probabilities of speech to utterances (pure)
``languages``    names of languages and their codes (pure)
``segments``     a long text to pieces that can be spoken one after the other (pure)
``subtitles``    a transcript as SRT and WebVTT (pure)
``transcribe``   use case: a file to text
``listen``       use case: sound that is still coming to text
``speak``        use case: a text to a stream of sound
"""
