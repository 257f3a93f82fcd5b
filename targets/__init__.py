"""A simulated estate: a Secret Server, SSH and SMB hosts. `python -m targets ESTATE.toml --state DIR`, its own process.

Nothing here imports the scanner or the orchestrator: an estate that shared their code would share their mistakes. What
it knows about itself is its *truth*, the name of each host's fault; what a fault should be called in a report is for
those to decide who look at it from outside.

    spec.py        estate.toml, validated;  vault_spec.py  its part about the vault
    faults.py      the faults of hosts, accounts and secrets, as data;  vault_faults.py  those of the vault
    estate.py      spec -> hosts, accounts, secrets: pure, the same for the same seed
    material.py    markers, passwords and keys derived from the seed
    world.py       the estate while it runs: what changes when a secret is rotated
    directory.py   accounts, counted failures and lock-out
    door.py        which host a connection has reached;  oddity.py  ports where something else answers
    systems.py     what hosts run: Debian, a switch, Windows Server 2022
    ssh/           all SSH hosts behind one listener, and what their commands answer
    smb/           all SMB hosts behind another, and the protocol as they speak it
    secret_server/ the vault
    metrics.py     what hosts and vault really saw;  control.py  metrics and orders over HTTP
    sample_vault.py  what the vault holds where nobody says
    lab.py         the whole, started and stopped
"""
