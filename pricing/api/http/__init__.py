"""What every endpoint shares: routes, requests, answers, problems, authorization.

Imports the rooms below `api`, and no endpoint.
"""
