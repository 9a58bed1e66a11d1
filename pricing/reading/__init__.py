"""Reading a price: the ladder, the guards around each store, and what keeps the last rung warm.

Imports the words of the domain, `surge`, `zones`, the values of `stores`, `fallback` and
`streaming`; knows no HTTP.
"""
