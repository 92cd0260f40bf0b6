"""The Merkle tree of RFC 6962, section 2.1 (SHA-256): one root for any number of lines, computed in passing."""

import hashlib
from collections.abc import Iterable


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def leaf(line: str) -> bytes:
    """The hash (32 bytes) of one line: SHA-256 of a zero byte and the line in UTF-8."""
    return hashlib.sha256(b"\x00" + line.encode()).digest()


def root(lines: Iterable[str]) -> bytes:
    """The tree hash (32 bytes) of the lines in their order; of none: SHA-256 of nothing. Memory: a hash a level."""
    peaks: list[tuple[int, bytes]] = []
    for line in lines:
        size, held = 1, leaf(line)
        while peaks and peaks[-1][0] == size:
            held = _node(peaks.pop()[1], held)
            size *= 2
        peaks.append((size, held))
    if not peaks:
        return hashlib.sha256(b"").digest()
    _size, found = peaks.pop()
    while peaks:
        found = _node(peaks.pop()[1], found)
    return found
