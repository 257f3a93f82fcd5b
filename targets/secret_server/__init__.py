"""A simulated Secret Server: the REST API as release 11.2 documents it and its clients expect it.

    tokens.py   grants, refreshes, expiry, lock-out of the vault user
    store.py    secrets, their states and their audit
    wire.py     the JSON of answers and errors: pure
    query.py    query strings as ASP.NET reads them: pure
    orders.py   the middleware that counts requests and lets faults answer in a route's place
    routes.py   the routes
    tls.py      a certificate authority of its own, for https

Where public sources leave a body or a text open, the choice is marked UNSURE beside it: no client should rely on it.
"""
