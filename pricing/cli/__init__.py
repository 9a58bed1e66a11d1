"""The command line, one module a command or a family of them.

Imports every other room, most of them late, so that `--help` is quick.
"""
