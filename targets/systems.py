"""What the hosts of an estate run: how they introduce themselves, and what their systems can do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from targets.faults import HOST_FAULTS, HostFault
from targets.smb.wire import SMB_2_0_2, SMB_2_1, SMB_3_0, SMB_3_0_2, SMB_3_1_1


@dataclass(frozen=True, slots=True)
class UnixSystem:
    name: str
    version: str
    """What follows `SSH-2.0-` in the banner."""
    os_release: str = ""
    """/etc/os-release; empty: there is none."""
    uname: str = ""
    """`uname -a`, with the host's name as {name}."""
    missing: str = "bash: line 1: {command}: command not found"
    """How its shell says that it knows no such command."""
    missing_to_env: str = "env: '{command}': No such file or directory"
    """How its `env` says so."""
    admins: str = ""
    """The group of those who may use sudo, as `id` prints it."""
    fault: HostFault | None = None
    """What every host of this system does; a login meets it after it stands."""


@dataclass(frozen=True, slots=True)
class WindowsSystem:
    name: str
    version: tuple[int, int, int]
    """Windows major, minor and build, as the NTLM challenge says them."""
    dialects: frozenset[int]
    tells_members: bool = False
    """Who is in Administrators, to who is none: until Windows 10 and Server 2016."""
    refusal_s: float = 0.0
    """Seconds before a refused logon is answered: since Windows 11 24H2 and Server 2025."""
    fault: HostFault | None = None


_DEBIAN = """\
PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
NAME="Debian GNU/Linux"
VERSION_ID="12"
VERSION="12 (bookworm)"
VERSION_CODENAME=bookworm
ID=debian
"""
_RHEL = """\
NAME="Red Hat Enterprise Linux"
VERSION="9.4 (Plow)"
ID="rhel"
ID_LIKE="fedora"
VERSION_ID="9.4"
PLATFORM_ID="platform:el9"
PRETTY_NAME="Red Hat Enterprise Linux 9.4 (Plow)"
"""
_BUSYBOX = """\
NAME="OpenWrt"
VERSION="23.05.4"
ID="openwrt"
ID_LIKE="lede openwrt"
PRETTY_NAME="OpenWrt 23.05.4"
VERSION_ID="23.05.4"
"""
UNIX_SYSTEMS: Mapping[str, UnixSystem] = {
    s.name: s
    for s in (
        UnixSystem(
            "debian",
            "OpenSSH_9.2p1 Debian-2+deb12u3",
            _DEBIAN,
            "Linux {name} 6.1.0-25-amd64 #1 SMP PREEMPT_DYNAMIC Debian 6.1.106-3 (2024-08-26) x86_64 GNU/Linux",
            "sh: 1: {command}: not found",
            admins="27(sudo)",
        ),
        UnixSystem(
            "rhel",
            "OpenSSH_8.7",
            _RHEL,
            "Linux {name} 5.14.0-427.13.1.el9_4.x86_64 #1 SMP PREEMPT_DYNAMIC Wed Apr 10 10:29:16 EDT 2024 x86_64"
            " x86_64 x86_64 GNU/Linux",
            "bash: line 1: {command}: command not found",
            admins="10(wheel)",
        ),
        UnixSystem(
            "busybox",
            "dropbear_2022.83",
            _BUSYBOX,
            "Linux {name} 5.15.162 #0 SMP Mon Jul 15 22:14:18 2024 mips GNU/Linux",
            "ash: {command}: not found",
            "env: can't execute '{command}': No such file or directory",
            fault=HOST_FAULTS["sudo_missing"],
        ),
        UnixSystem("network-device", "Cisco-1.25", fault=HOST_FAULTS["network_device"]),
    )
}
WINDOWS_SYSTEMS: Mapping[str, WindowsSystem] = {
    s.name: s
    for s in (
        WindowsSystem(
            "server-2025", (10, 0, 26100), frozenset({SMB_2_1, SMB_3_0, SMB_3_0_2, SMB_3_1_1}), refusal_s=2.0
        ),
        WindowsSystem("server-2022", (10, 0, 20348), frozenset({SMB_2_1, SMB_3_0, SMB_3_0_2, SMB_3_1_1})),
        WindowsSystem("server-2019", (10, 0, 17763), frozenset({SMB_2_1, SMB_3_0, SMB_3_0_2, SMB_3_1_1})),
        WindowsSystem("server-2012-r2", (6, 3, 9600), frozenset({SMB_2_0_2, SMB_2_1, SMB_3_0, SMB_3_0_2}), True),
        WindowsSystem("server-2008-r2", (6, 1, 7601), frozenset({SMB_2_0_2, SMB_2_1}), True),
    )
}
DEFAULT = {"unix": "debian", "windows": "server-2019"}
