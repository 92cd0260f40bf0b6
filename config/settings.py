"""Settings from the environment only: safe when a variable is missing, loud when it is wrong.

``.env.example`` lists every variable read here (a test keeps it complete).
"""

import os
import secrets
from pathlib import Path
from typing import Any

import django_stubs_ext
import environ
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _

from access_control.addresses import trusted_proxies
from config import embedded
from members.senders import read_senders

# Lets annotations such as ModelAdmin[Member] stand in code that runs.
django_stubs_ext.monkeypatch()

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()


def _boolean(name: str) -> bool:
    """``1``/``0`` (or true/false, yes/no, on/off). Anything else is a mistake that must not read as "no"."""
    text = os.environ.get(name, "").strip().lower()
    if text in {"1", "true", "yes", "on"}:
        return True
    if text in {"", "0", "false", "no", "off"}:
        return False
    raise ImproperlyConfigured(f"{name} must be 1 or 0.")


def _whole_number(name: str, default: int) -> int:
    text = os.environ.get(name, "").strip()
    if not text:
        return default
    if not text.isdecimal() or int(text) < 1:
        raise ImproperlyConfigured(f"{name} must be a whole number above zero.")
    return int(text)


def _development_secret(path: Path) -> str:
    """A secret key for development, made once, mode 600, so that a restart keeps sessions."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text()
    with os.fdopen(handle, "w") as file:
        file.write(secrets.token_urlsafe(50))
    return path.read_text()


DEBUG = _boolean("DEBUG")
DEMO = _boolean("DEMO")
if DEMO and not DEBUG:
    raise ImproperlyConfigured("DEMO=1 opens accounts with published passwords, so it also needs DEBUG=1. Unset DEMO.")

# Files the console makes for itself: the embedded cluster, the keyring and the development secret.
VAR_DIR = Path(env.str("CONSOLE_VAR_DIR", default=str(BASE_DIR / "var")))
CONSOLE_KEYRING = Path(env.str("CONSOLE_KEYRING", default=str(VAR_DIR / "keyring.json")))
# What signs certificates of destruction, and where a run writes down what it is about to destroy.
CONSOLE_SIGNING_KEY = Path(env.str("CONSOLE_SIGNING_KEY", default=str(VAR_DIR / "signing-key.pem")))
CONSOLE_JOURNAL = Path(env.str("CONSOLE_JOURNAL", default=str(VAR_DIR / "journal")))

SECRET_KEY = env.str("SECRET_KEY", default="")
if not SECRET_KEY:
    if not DEBUG:
        raise ImproperlyConfigured("SECRET_KEY is missing. Set it to at least 50 random characters.")
    SECRET_KEY = _development_secret(VAR_DIR / "secret-key")

ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["127.0.0.1", "localhost"] if DEBUG else [])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])

# Databases. One alias each; the role decides what a process may do there (see access_control/sql.py).
CONSOLE_DB_ROLE = env.str("CONSOLE_DB_ROLE", default="app")
if CONSOLE_DB_ROLE not in embedded.ROLES:
    raise ImproperlyConfigured(f"CONSOLE_DB_ROLE must be one of {', '.join(embedded.ROLES)}.")
EMBEDDED_DATABASE = not env.str("DATABASE_URL", default="")
if DEMO and not EMBEDDED_DATABASE:
    raise ImproperlyConfigured(
        "DEMO=1 destroys before its day what falls due later, so it runs on the embedded server alone. Unset DEMO, or"
        " DATABASE_URL."
    )


def database_url(variable: str, database: str, role: str) -> str:
    """The URL of ``database`` for ``role``: ``DATABASE_URL`` is the app's, ``DATABASE_URL_OWNER`` the owner's, …"""
    if EMBEDDED_DATABASE:
        return embedded.default_server().url(database, role)
    name = variable if role == "app" else f"{variable}_{role.upper()}"
    url: str = env.str(name, default="")
    if not url:
        raise ImproperlyConfigured(f"{name} is missing; the {role} role of the {database} database needs it.")
    return url


# The same for commands, which import nothing of config.
DATABASE_URL_OF = database_url


def _database(variable: str, database: str) -> dict[str, Any]:
    config = env.db_url_config(database_url(variable, database, CONSOLE_DB_ROLE))
    if "postgresql" not in str(config["ENGINE"]):
        raise ImproperlyConfigured(f"{variable} must be a postgres:// URL. No other database can hold the guarantees.")
    # A socket directory stands in the query of a URL; Django and its tools look for it in HOST.
    options = dict(config.get("OPTIONS", {}))
    config |= {"HOST": options.pop("host", config["HOST"]), "OPTIONS": options}
    return {**config, "CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True, "ATOMIC_REQUESTS": False}


DATABASES = {
    "default": _database("DATABASE_URL", "console"),
    "vault": _database("VAULT_DATABASE_URL", "vault"),
}
# Keys and lookups travel as parameters: in the text of a statement they would reach the server's logs and views.
DATABASES["vault"]["OPTIONS"] = {**DATABASES["vault"]["OPTIONS"], "server_side_binding": True}
CONSOLE_ROLE_PREFIX = env.str("CONSOLE_ROLE_PREFIX", default="console")
DATABASE_ROUTERS = ["config.routers.VaultRouter"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "config.apps.ConsoleAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "django.forms",
    "axes",
    "csp",
    "guardian",
    "simple_history",
    "procrastinate.contrib.django",
    "access_control.vault",
    "access_control",
    "members",
    "consent",
    "retention",
]

MIDDLEWARE = [
    "access_control.requests.HeadersMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "access_control.requests.RequestMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "access_control.requests.BodyLimitMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "access_control.requests.RestoreMiddleware",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# Widgets are overridden under templates/ like every other template.
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"

# Accounts.
AUTH_USER_MODEL = "access_control.Staff"
# Guardian's own backend honours expired grants and superusers; access_control.policies asks instead.
AUTHENTICATION_BACKENDS = ["access_control.accounts.StaffBackend"]
SILENCED_SYSTEM_CHECKS = ["guardian.W001"]
ANONYMOUS_USER_NAME = None
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
    {"NAME": "access_control.passwords.GuessableValidator"},
]
# Sign-in is locked by account and by address; access_control/sign_in.py counts, and holds how many tries and how long.
AXES_HANDLER = "access_control.sign_in.SignInHandler"
AXES_LOCKOUT_PARAMETERS = ["username", "ip_address"]
AXES_LOCKOUT_CALLABLE = "access_control.sign_in.locked_page"
AXES_CLIENT_IP_CALLABLE = "access_control.sign_in.client_address"
AXES_ENABLE_ADMIN = False
AXES_DISABLE_ACCESS_LOG = True
AXES_VERBOSE = False
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"

# Sessions end with the browser (P10.B) and when idle. The database holds a hash of each key.
SESSION_ENGINE = "access_control.sessions"
SESSION_EXPIRE_AT_BROWSER_CLOSE = True
# As long as the oldest export or backup may live from which a destroyed member could come back.
TOMBSTONE_DAYS = _whole_number("TOMBSTONE_DAYS", 400)
SESSION_COOKIE_AGE = 60 * _whole_number("SESSION_IDLE_MINUTES", 30)
SESSION_SAVE_EVERY_REQUEST = True
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = not DEBUG
LANGUAGE_COOKIE_HTTPONLY = True
LANGUAGE_COOKIE_SECURE = not DEBUG
LANGUAGE_COOKIE_SAMESITE = "Lax"

# Transport (P8.A4).
SECURE_SSL_REDIRECT = not DEBUG
SECURE_HSTS_SECONDS = 0 if DEBUG else 31_536_000
SECURE_HSTS_INCLUDE_SUBDOMAINS = not DEBUG
SECURE_HSTS_PRELOAD = not DEBUG
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if _boolean("BEHIND_TLS_PROXY") else None
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
try:
    TRUSTED_PROXIES = trusted_proxies(env.list("TRUSTED_PROXIES", default=[]))
except ValueError as error:
    raise ImproperlyConfigured(f"TRUSTED_PROXIES: {error}") from None
# The console uses nothing of the machine it is shown on, and no other site may embed anything of it. A feature that the
# browser does not know is a complaint on every page, and ends nothing.
HEADERS_OF_EVERY_ANSWER = {
    "Permissions-Policy": ", ".join(
        f"{feature}=()"
        for feature in (
            *("accelerometer", "autoplay", "browsing-topics", "camera", "display-capture"),
            *("encrypted-media", "fullscreen", "gamepad", "geolocation", "gyroscope", "hid", "idle-detection"),
            *("local-fonts", "magnetometer", "microphone", "midi", "payment", "picture-in-picture"),
            *("screen-wake-lock", "serial", "usb", "xr-spatial-tracking"),
        )
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}

# Forms only: nothing larger is read, and what is read stays in memory.
REQUEST_BODY_MAX_BYTES = _whole_number("REQUEST_BODY_MAX_BYTES", 1_048_576)
DATA_UPLOAD_MAX_MEMORY_SIZE = FILE_UPLOAD_MAX_MEMORY_SIZE = REQUEST_BODY_MAX_BYTES
DATA_UPLOAD_MAX_NUMBER_FIELDS = 500
DATA_UPLOAD_MAX_NUMBER_FILES = 10
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.MemoryFileUploadHandler"]

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}

# Language and time. Dates of the policy are days in Tokyo.
LANGUAGE_CODE = "ja"
LANGUAGES = [("ja", _("Japanese")), ("en", _("English"))]
LOCALE_PATHS = [BASE_DIR / "config" / "locale"]
FORMAT_MODULE_PATH = "config.formats"
USE_I18N = True
USE_TZ = True
TIME_ZONE = "Asia/Tokyo"
# Django's Japanese formats do not say it; templates ask for it with floatformat:"0g".
NUMBER_GROUPING = 3

STATIC_URL = "static/"
STATIC_ROOT = VAR_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "config" / "static"]
WHITENOISE_USE_FINDERS = DEBUG
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}

# Mail. With no server named, notices stay queued and the page says so.
EMAIL_URL = env.str("EMAIL_URL", default="")
vars().update(env.email_url_config(EMAIL_URL) if EMAIL_URL else {"EMAIL_BACKEND": "members.mail.NoServerBackend"})
EMAIL_TIMEOUT = 20
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="privacy@marketplace.example")

# Who writes to the members of each entity's site; made up for development, which a deploy check refuses.
_MADE_UP_SENDERS = {
    "jp": {"site": "マーケットプレイス日本", "window": "お客様センター", "telephone": "0120-000-000"},
    "kr": {"site": "마켓플레이스 코리아", "window": "Customer centre", "telephone": "+82 2 0000 0000"},
    "sg": {"site": "Marketplace Singapore", "window": "Customer centre", "telephone": "+65 6000 0000"},
}
_senders = env.str("NOTICE_SENDERS", default="")
NOTICE_SENDERS_MADE_UP = not _senders
try:
    NOTICE_SENDERS = (
        read_senders(_senders)
        if _senders
        else {code: {**sender, "mail": DEFAULT_FROM_EMAIL} for code, sender in _MADE_UP_SENDERS.items()}
    )
except ValueError as error:
    raise ImproperlyConfigured(f"NOTICE_SENDERS: {error}.") from None

# Jobs live in each app's jobs.py; ids only in arguments.
PROCRASTINATE_AUTODISCOVER_MODULE_NAME = "jobs"

# History rows are written by the database (access_control/sql.py), so simple-history's signals stay off.
SIMPLE_HISTORY_ENABLED = False
SIMPLE_HISTORY_REVERT_DISABLED = True
SIMPLE_HISTORY_HISTORY_CHANGE_REASON_USE_TEXT_FIELD = True

LOG_LEVEL = env.str("LOG_LEVEL", default="INFO").upper()
if LOG_LEVEL not in {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}:
    raise ImproperlyConfigured("LOG_LEVEL must be DEBUG, INFO, WARNING, ERROR or CRITICAL.")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "access_control.requests.JsonLines"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    "loggers": {
        # SQL carries no plaintext, but its parameters carry lookups and ciphertext: never to a log.
        "django.db.backends": {"level": "WARNING"},
        "procrastinate": {"level": "WARNING"},
        # What it says of a sign-in names who tried; the ledger says it better.
        "axes": {"level": "CRITICAL"},
        "django.server": {"level": "WARNING", "propagate": True, "handlers": []},
    },
}
DEFAULT_EXCEPTION_REPORTER_FILTER = "access_control.requests.NothingReported"
