"""The JSON of the HTTP API as models: they check what is read and document what is answered.

Imports the words of the domain and pydantic; every other room of `api` imports it.
"""
