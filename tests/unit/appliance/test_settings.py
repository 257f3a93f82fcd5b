"""A stand-alone appliance's file: which interface its vault has."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.settings import Settings, SettingsError, write_template


def written(state: Path, monkeypatch: pytest.MonkeyPatch, vault: str) -> Path:
    """A file as `appliance init` writes it, with a line in its vault."""
    monkeypatch.setenv("KEYMUSTER_VAULT_PASSWORD", "KMS-made-up")
    file = state / "appliance.toml"
    write_template(str(file), "dmz-1", "default")
    file.write_text(f"{file.read_text(encoding='utf-8')}{vault}\n", encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("line", "api"), [("", "rest"), ('api = "rest"', "rest"), ('api = "soap"', "soap"), ('api = "auto"', "auto")]
)
def test_a_vault_is_spoken_to_as_its_file_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, api: str
) -> None:
    [login] = Settings.load(str(written(tmp_path, monkeypatch, line))).admission().logins
    assert login.access.api == api


def test_a_vault_is_spoken_to_in_no_other_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(tmp_path, monkeypatch, 'api = "graphql"')
    with pytest.raises(SettingsError, match=r"vaults\.0\.api: Input should be 'rest', 'soap' or 'auto'"):
        Settings.load(str(file))
