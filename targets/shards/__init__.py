"""An estate's hosts in several processes: the hub has the vault, the directories and control; shards have the hosts."""
