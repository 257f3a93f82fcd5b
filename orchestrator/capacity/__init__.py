"""The capacity planner: how long a run will take, what bounds it, and what it asks of vault and directory.

Four pure parts: `demand` says how much work a plan is, `costs` what work has cost in earlier runs, `schedule` how long
work takes with so many places, and `model` puts them together. `history` reads earlier runs out of the store.
"""
