from tests.peers.fixtures import newer_sshd, smbds, sshd

__all__ = ["newer_sshd", "smbds", "sshd"]
