"""Checks a certificate of destruction with nothing but the certificate and the public key.

    python check_certificate.py CERTIFICATE.json PUBLIC_KEY.pem

Needs Python 3.9 or newer and the package `cryptography`. Exit status 0: the signature is the key's, and the lines are
exactly those that were signed. 1: they are not. 2: a file cannot be read.
"""

import base64
import hashlib
import json
import sys

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

UNREADABLE = (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, UnsupportedAlgorithm)


def tree(hashes):
    """RFC 6962, section 2.1, by its definition: split at the largest power of two below the number of leaves."""
    if not hashes:
        return hashlib.sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    middle = 1 << (len(hashes) - 1).bit_length() - 1
    return hashlib.sha256(b"\x01" + tree(hashes[:middle]) + tree(hashes[middle:])).digest()


def main(certificate_path, key_path):
    """Print what was found; return the exit status."""
    try:
        with open(certificate_path, encoding="utf-8") as file:
            certificate = json.load(file)
        with open(key_path, "rb") as file:
            key = load_pem_public_key(file.read())
        if not isinstance(key, Ed25519PublicKey):
            raise TypeError("not an Ed25519 key")
        document = certificate["document"].encode()
        signature = base64.b64decode(certificate["signature"], validate=True)
        lines = [line.encode() for line in certificate["lines"]]
    except UNREADABLE as error:
        sys.stdout.write(f"Cannot be read as a certificate and a public key: {type(error).__name__}.\n")
        return 2
    try:
        key.verify(signature, document)
    except InvalidSignature:
        sys.stdout.write("NOT GENUINE: this key did not sign this document.\n")
        return 1
    try:
        facts = json.loads(document)
        claimed = {name: facts[name] for name in ("reference", "lines", "root", "unreadable_since")}
    except UNREADABLE as error:
        sys.stdout.write(f"Signed, but no certificate: {type(error).__name__}.\n")
        return 2
    found = tree([hashlib.sha256(b"\x00" + line).digest() for line in lines]).hex()
    if found != claimed["root"] or len(lines) != claimed["lines"]:
        sys.stdout.write("NOT GENUINE: the lines are not those that were signed.\n")
        return 1
    sys.stdout.write(
        f"Genuine: certificate {claimed['reference']}, {claimed['lines']} lines,"
        f" unreadable since {claimed['unreadable_since']}.\n"
    )
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.stdout.write(__doc__)
        sys.exit(2)
    sys.exit(main(sys.argv[1], sys.argv[2]))
