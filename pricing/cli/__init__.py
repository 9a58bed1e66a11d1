"""The command line: `app` puts it together, one module a family of commands describes them.

Imports every other room. What a command does is imported when it runs, so that `--help` is quick.
"""
