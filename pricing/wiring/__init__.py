"""The composition root: reads the settings, builds every part, closes them in reverse.

Imports everything below; nothing else makes a concrete object out of settings.
"""
