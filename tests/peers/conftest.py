from tests.peers.fixtures import directory, newer_sshd, smbds, sshd

__all__ = ["directory", "newer_sshd", "smbds", "sshd"]
