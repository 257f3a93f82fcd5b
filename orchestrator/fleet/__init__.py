"""A fleet: appliances on machines of their own, each with a user of its own on a bus in operator mode.

keys.py      what the fleet's owner holds: the account's signing key, perhaps the operator's; sealed at rest
founding.py  a fleet for those who start from nothing: operator, account, what the server must be told
roster.py    who has enrolled, and the invitations by which one does
office.py    answers machines that want to be appliances
"""
