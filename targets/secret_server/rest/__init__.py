"""Secret Server's REST interface, v1 and v2, upon the service: routes and the JSON they speak.

    application.py  the routes' table; who calls, and errors in the vault's own shape
    asking.py       a request's parts as the service wants them;  query.py  query strings as ASP.NET reads them: pure
    errors.py       what each refusal becomes: pure
    wire.py         secrets and states as JSON: pure;  records.py  audits, requests, folders, templates, users: pure
    paging.py       pages of a listing: pure
    sessions.py     tokens, health, version, users, SDK clients, address restrictions
    secrets.py      reading and changing a secret;  checkouts.py  check-out, passwords, heartbeat, access requests
    listings.py     searches, folders and templates
    platform.py     as much of a Platform tenant as finds a vault

Where public sources leave a body or a text open, the choice is marked UNSURE beside it: no client should rely on it.
"""
