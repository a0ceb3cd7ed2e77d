"""Recognisers and voices of local model folders, by sherpa-onnx (Apache-2.0). Nothing is downloaded. The library ends its
process when a model is not what it expects, so it works in processes of its own.

``metadata``   what an ONNX file says of itself (pure)
``folder``     what is in a folder: which kind of model, what is missing, what it can do
``recogniser`` the recogniser of a folder
``ear``        the program that hears
``speaker``    SherpaTextToSpeech: the voices of a folder
``mouth``      the program that speaks
``wire``       what speaker and mouth say to each other
``words``      pieces of words with times, as words (pure)
"""
