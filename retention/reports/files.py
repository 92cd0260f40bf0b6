"""A file that is whole or not there: written beside its place, on disk, then renamed."""

import os
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def save(path: Path, chunks: Iterable[bytes]) -> None:
    """``path`` holds all of the chunks (mode 600), or what it held before. Raises OSError."""
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(draft)
        raise
