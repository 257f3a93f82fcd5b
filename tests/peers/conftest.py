from tests.peers.fixtures import directory, smbds, sshd

__all__ = ["directory", "smbds", "sshd"]
