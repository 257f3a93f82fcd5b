"""The vault's users: who they are, what their roles permit, and what access they have to which secret."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from targets.faults import SecretState
from targets.secret_server.rights import Access, AddressRange, Permission, address_range
from targets.secret_server.secrets import StoredSecret
from targets.vault_spec import VaultUserSpec

_FIRST_ID = 2


@dataclass(eq=False, slots=True)
class VaultUser:
    id: int
    name: str
    domain: str
    password: str = field(repr=False)
    permissions: frozenset[Permission]
    access_by_path: dict[str, Access]
    """Folded path of a folder or secret -> access; `` is the root."""
    addresses: tuple[AddressRange, ...]
    one_time_code: str = field(repr=False)
    enabled: bool
    failures: int = 0
    """Failed grants since the last good one."""
    by_folder: dict[int, Access] = field(default_factory=dict)
    """What `access_by_path` comes to, for folders that have been asked for."""

    def may(self, permission: Permission) -> bool:
        return permission in self.permissions or Permission.UNLIMITED in self.permissions

    @property
    def unlimited(self) -> bool:
        return Permission.UNLIMITED in self.permissions

    def access(self, secret: StoredSecret) -> Access:
        if self.unlimited:
            return Access.OWNER
        found = self.by_folder.get(secret.folder_id)
        if found is None:
            found = self.by_folder[secret.folder_id] = self.access_to_folder(secret.folder)
        if secret.path.casefold() in self.access_by_path:
            found = self.access_by_path[secret.path.casefold()]
        return min(found, Access.LIST) if secret.state is SecretState.FORBIDDEN else found

    def access_to_folder(self, path: str) -> Access:
        if self.unlimited:
            return Access.OWNER
        at = path.casefold().rstrip("\\")
        while at:
            if at in self.access_by_path:
                return self.access_by_path[at]
            at = at.rpartition("\\")[0]
        return self.access_by_path.get("", Access.NONE)

    def proves(self, password: str) -> bool:
        return hmac.compare_digest(self.password.encode(), password.encode())


class VaultUsers:
    """`password_of` gives the password of a user whose specification has none."""

    def __init__(self, specs: Iterable[VaultUserSpec], password_of: Callable[[str], str]) -> None:
        self._users = [
            VaultUser(
                id=_FIRST_ID + number,
                name=spec.name,
                domain=spec.domain,
                password=spec.password or password_of(spec.name),
                permissions=frozenset(spec.permissions),
                access_by_path={
                    path.casefold().rstrip("\\"): Access[level.upper()] for path, level in spec.access.items()
                },
                addresses=tuple(address_range(text) for text in spec.addresses),
                one_time_code=spec.one_time_code,
                enabled=spec.enabled,
            )
            for number, spec in enumerate(specs)
        ]
        self._by_name = {user.name.casefold(): user for user in self._users}

    @property
    def first(self) -> VaultUser:
        """The scanner's."""
        return self._users[0]

    def named(self, name: str) -> VaultUser | None:
        return self._by_name.get(name.casefold())

    def get(self, user_id: int) -> VaultUser | None:
        return next((u for u in self._users if u.id == user_id), None)

    def all(self) -> tuple[VaultUser, ...]:
        return tuple(self._users)

    def ranges(self) -> dict[int, str]:
        """The restrictions by address that there are, by number."""
        texts = dict.fromkeys(r.text for user in self._users for r in user.addresses)
        return dict(enumerate(texts, start=1))


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and from where."""

    user: VaultUser
    address: str
