from tests.peers.fixtures import smbds, sshd

__all__ = ["smbds", "sshd"]
