"""Targets from other people's lists: plain text, CSV, nmap's XML, Ansible inventories.

Reading is pure: bytes in, entries and refusals out, each with its line. A refusal quotes addresses and names alone: the
rest of a line could hold a password. What a list says of credentials is never used, since they come from the vault.
"""
