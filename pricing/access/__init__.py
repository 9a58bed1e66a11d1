"""Who may call, by which key, and who did what.

Imports the words of the domain, `writing` and `fallback`; decides from memory, so also with
everything dead.
"""
