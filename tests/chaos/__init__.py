"""Chaos on one machine: a whole installation of real processes, and faults at random moments, drawn from a seed.

NATS on three servers, PostgreSQL, orchestrators, and two zones in network namespaces of their own, each with its
appliances and its estate. A run must end exact whatever died, froze or was cut off meanwhile.

    python -m tests.chaos --runs 20          twenty seeds, one after another
    python -m tests.chaos --seed 17          one of them again
"""
