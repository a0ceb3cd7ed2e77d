"""Recognisers of a local model folder, each in a process of its own: what is the same whatever library hears.

``recogniser`` LocalSpeechToText: the port, over a program that hears
``hearing``    the program's side: its loop, and what a library has to be able to do
``wire``       what both say to each other
"""
