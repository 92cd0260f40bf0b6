"""The project's settings, on a cluster and a keyring of the tests' own. Little else differs."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

# Tests own their files: no keyring, secret or cluster of a demo is touched. In memory where there is room, since each
# clone of the databases is two thousand small files.
_memory = Path("/dev/shm")
# A benchmark waits for the disk, as production does.
_measured = os.environ.get("DJANGO_SETTINGS_MODULE") == "tests.benchmarks.settings"
_room = (
    not _measured and _memory.is_dir() and os.access(_memory, os.W_OK) and shutil.disk_usage(_memory).free > 2 * 1024**3
)
_files = tempfile.TemporaryDirectory(prefix="console-tests-", dir=_memory if _room else None)
os.environ["CONSOLE_VAR_DIR"] = _files.name
for _path in ("CONSOLE_KEYRING", "CONSOLE_SIGNING_KEY", "CONSOLE_JOURNAL"):
    os.environ.pop(_path, None)
os.environ.pop("EMAIL_URL", None)
os.environ["DEBUG"], os.environ["DEMO"] = "1", "0"
# Databases are made and migrated by the owner; conftest then becomes the app.
os.environ["CONSOLE_DB_ROLE"] = "owner"

from access_control import signing  # noqa: E402
from access_control.vault import keyring  # noqa: E402
from config import embedded  # noqa: E402

if not os.environ.get("DATABASE_URL"):

    class _Hasty(embedded.EmbeddedServer):
        """Does not wait for the disk: nothing here outlives the tests."""

        def _command(self) -> list[str]:
            hasty = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "autovacuum=off", "jit=off")
            return [*super()._command(), *(f"-c{setting}" for setting in hasty)]

    _server = (embedded.EmbeddedServer if _measured else _Hasty)(Path(_files.name) / "postgres")
    embedded.default_server = lambda: _server
    _server.start()
    # What is registered last runs first: the server stops before its files go.
    atexit.register(_files.cleanup)
    atexit.register(_server.stop)

from config.settings import *  # noqa: E402, F403
from config.settings import CONSOLE_KEYRING, CONSOLE_SIGNING_KEY  # noqa: E402

keyring.make(CONSOLE_KEYRING)
signing.make(CONSOLE_SIGNING_KEY)

# Two runs at once, on one server, do not meet.
for _name in ("default", "vault"):
    DATABASES[_name]["TEST"] = {"NAME": f"test_{DATABASES[_name]['NAME']}_{os.getpid()}"}  # noqa: F405

DEBUG = False
# Tests plan for days to come on whatever server they are given; outside them a demo has the embedded one alone.
DEMO = True
ALLOWED_HOSTS = ["testserver", "127.0.0.1", "localhost"]
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = LANGUAGE_COOKIE_SECURE = False
SECURE_SSL_REDIRECT = False
# Argon2 is slow by design; what is tested here is not the hash.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
WHITENOISE_USE_FINDERS = True
# Whitenoise warns when its directory is missing; tests serve from the sources.
STATIC_ROOT.mkdir(parents=True, exist_ok=True)  # noqa: F405
