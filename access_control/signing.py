"""The signing key (Ed25519, RFC 8032): what the console signs, an outsider checks with the public key alone.

A file of mode 600 apart from both databases, like the keyring. It opens nothing; whoever has it can only sign.
"""

import hashlib
import os
import stat
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from django.conf import settings


class SigningKeyError(Exception):
    """The signing key is missing, malformed or readable by others; the message names the file and the next step."""


def make(path: Path) -> None:
    """Write a new signing key to ``path``, mode 600. Raises SigningKeyError if it exists."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    text = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise SigningKeyError(f"{path} exists already and is left as it is.") from None
    with os.fdopen(handle, "wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def load() -> Ed25519PrivateKey:
    """The signing key of this installation. Raises SigningKeyError."""
    path = Path(settings.CONSOLE_SIGNING_KEY)
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & 0o077:
                raise SigningKeyError(f"{path} can be read by others (mode {mode:o}). Run: chmod 600 on it.")
            key = serialization.load_pem_private_key(file.read(), password=None)
    except FileNotFoundError:
        raise SigningKeyError(
            f"{path} is missing. Put back the signing key from its backup. On a new installation run make_signing_key."
        ) from None
    except (OSError, ValueError, TypeError) as error:
        raise SigningKeyError(f"{path} cannot be read as a signing key ({type(error).__name__}).") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise SigningKeyError(f"{path} is no Ed25519 key.")
    return key


def public_pem(key: Ed25519PrivateKey) -> str:
    """The public key as PEM: what an outsider needs."""
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode("ascii")
    )


def fingerprint(key: Ed25519PrivateKey) -> str:
    """SHA-256 of the public key (32 bytes) in hex: to be compared by telephone or on paper."""
    raw = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return hashlib.sha256(raw).hexdigest()


def fingerprint_of(pem: str) -> str:
    """The fingerprint (see :func:`fingerprint`) of a public key in PEM; "" when it is no Ed25519 key."""
    try:
        public = serialization.load_pem_public_key(pem.encode())
    except ValueError:
        return ""
    if not isinstance(public, Ed25519PublicKey):
        return ""
    raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return hashlib.sha256(raw).hexdigest()


def is_signed(document: bytes, signature: bytes, pem: str) -> bool:
    """Whether ``signature`` (64 bytes) was made over exactly ``document`` by the key whose public half is ``pem``."""
    try:
        public = serialization.load_pem_public_key(pem.encode())
        if not isinstance(public, Ed25519PublicKey):
            return False
        public.verify(signature, document)
    except (InvalidSignature, ValueError):
        return False
    return True
