"""`keymuster audit`: what we say we have read, held against what the vault says was read."""
