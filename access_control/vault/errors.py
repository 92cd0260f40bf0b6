"""Every way a sealed value can refuse to open. None of them carries plaintext, keys or ciphertext."""

import datetime
import uuid


class VaultError(Exception):
    """Base of the vault's errors."""


class KeyringError(VaultError):
    """The keyring file is missing, malformed, readable by others, or not the one this installation was sealed with."""


class SealBroken(VaultError):
    """A sealed value or wrapped key is corrupt, was moved from elsewhere, or meets the wrong key: an incident."""


class UnknownFormat(SealBroken):
    """The first byte names no format known here."""


class NoKey(VaultError):
    """No key was ever made for this subject, category and generation, or it was not asked for."""


class KeyNeverMade(NoKey, SealBroken):
    """A sealed value names a generation of which the vault has neither a key nor a fence: an incident too."""


class Destroyed(VaultError):
    """The key was destroyed: the normal end of a value."""

    def __init__(self, at: datetime.datetime, certificate_line: uuid.UUID | None) -> None:
        super().__init__("the key was destroyed")
        self.at = at
        self.certificate_line = certificate_line


class FenceStands(VaultError):
    """A key was to be made where a destroyed one stood. That never happens again."""


class CeilingReached(VaultError):
    """The hourly ceiling of fetches (or destructions) without an approval is used up."""


class AnotherConsole(VaultError):
    """The vault remembers another console than the one that speaks to it, or more of it: a database was restored."""
