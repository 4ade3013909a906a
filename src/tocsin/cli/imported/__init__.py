"""Configs of other systems: what every word of theirs becomes in a config of Tocsin.

One file per system, each a table from word to rule (`words.py`). A rule looks at a value and says its fate: kept at a
place, without meaning here and why, or not yet. No word is dropped in silence.
"""
