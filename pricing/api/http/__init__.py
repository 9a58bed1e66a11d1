"""What every endpoint shares: routes, requests, answers, problems, schemas, authorization.

Imports the rooms below `api`, and no endpoint.
"""
