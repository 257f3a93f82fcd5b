"""The four secret templates and their fields. Pure.

Ids are those of a product installation where public samples show them: Windows Account 6003, Unix Account (SSH) 6007,
Active Directory Account 6001. UNSURE: the field ids of Active Directory Account, and all ids of the key rotation's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TemplateName = Literal["windows", "unix", "active-directory", "unix-key-rotation"]


@dataclass(frozen=True, slots=True)
class Field:
    id: int
    name: str
    slug: str
    is_password: bool = False
    is_notes: bool = False
    is_file: bool = False
    required: bool = False

    @property
    def may_be_exposed(self) -> bool:
        """May a template show it where a secret is not viewed?"""
        return not (self.is_password or self.is_file or self.is_notes)


@dataclass(frozen=True, slots=True)
class Template:
    id: int
    name: str
    fields: tuple[Field, ...]

    def field(self, slug: str) -> Field | None:
        """By slug in any case, or by the field's id or name, as clients of old ask."""
        wanted = slug.casefold()
        for field in self.fields:
            if wanted in {field.slug, str(field.id), field.name.casefold()}:
                return field
        return None


TEMPLATES: dict[TemplateName, Template] = {
    "windows": Template(
        6003,
        "Windows Account",
        (
            Field(83, "Machine", "machine", required=True),
            Field(86, "Username", "username", required=True),
            Field(85, "Password", "password", is_password=True, required=True),
            Field(84, "Notes", "notes", is_notes=True),
        ),
    ),
    "active-directory": Template(
        6001,
        "Active Directory Account",
        (
            Field(74, "Domain", "domain", required=True),
            Field(75, "Username", "username", required=True),
            Field(76, "Password", "password", is_password=True, required=True),
            Field(77, "Notes", "notes", is_notes=True),
        ),
    ),
    "unix": Template(
        6007,
        "Unix Account (SSH)",
        (
            Field(108, "Machine", "machine", required=True),
            Field(111, "Username", "username", required=True),
            Field(110, "Password", "password", is_password=True),
            Field(109, "Notes", "notes", is_notes=True),
            Field(189, "Private Key", "private-key", is_file=True),
            Field(190, "Private Key Passphrase", "private-key-passphrase", is_password=True),
        ),
    ),
    "unix-key-rotation": Template(
        6062,
        "Unix Account (SSH Key Rotation)",
        (
            Field(320, "Machine", "machine", required=True),
            Field(321, "Username", "username", required=True),
            Field(322, "Password", "password", is_password=True),
            Field(323, "Notes", "notes", is_notes=True),
            Field(324, "Private Key", "private-key", is_file=True),
            Field(325, "Private Key Passphrase", "private-key-passphrase", is_password=True),
            Field(326, "Public Key", "public-key", is_file=True),
        ),
    ),
}
BY_ID = {template.id: template for template in TEMPLATES.values()}
