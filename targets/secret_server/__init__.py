"""A simulated Secret Server: as release 11.2 documents it and its clients expect it.

service.py  the service: who may do what, what is refused, audited and counted; without HTTP, upon
logins.py, tokens.py, users.py, rights.py         who calls, and what they may
gate.py, reading.py, searching.py, refusal.py     what stands before a secret, and its values
checkouts.py, access_requests.py, changes.py, managing.py
store.py, secrets.py, templates.py, folders.py, text_index.py, audit.py, clock.py
rest/       the REST interface upon it
server.py   the interfaces on one web server
orders.py   the middleware that counts requests and lets faults answer in a route's place
tls.py      a certificate authority of its own, for https
"""
