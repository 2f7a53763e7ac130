"""Django settings for every environment; differences come from environment variables (see docs/settings.md)."""

import socket
import sys
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from ce_web.env import (
    env_bool,
    env_database,
    env_int,
    env_list,
    env_mail,
    env_name,
    env_networks,
    env_pairs,
    env_seconds,
    env_str,
    env_time_zone,
    env_url,
    secret_key,
)
from ce_web.file_rights import close_database, close_directory
from ce_web.places import default_data_dir, find_files

BASE_DIR = Path(__file__).resolve().parent.parent
# Templates, static files and examples: of the checkout, or of the installed package (pyproject.toml).
FILES_DIR = find_files(BASE_DIR)

# This host's data: SQLite database, secret key, checkouts, the ticker's lock.
CE_DATA_DIR = Path(env_str("CE_DATA_DIR", str(default_data_dir(BASE_DIR)))).resolve()
sys.stderr.write(close_directory(CE_DATA_DIR))

DEBUG = env_bool("DEBUG", False)
SECRET_KEY = secret_key(CE_DATA_DIR / "secret_key")
ALLOWED_HOSTS = env_list("ALLOWED_HOSTS", "127.0.0.1,localhost,[::1]")
CSRF_TRUSTED_ORIGINS = env_list("CSRF_TRUSTED_ORIGINS", "")

INSTALLED_APPS = [
    "django.contrib.admin.apps.SimpleAdminConfig",  # urls.py finds the pages of the administration: commands need none of them
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django_htmx",
    "django_q",
    "batches",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "batches.pages.middleware.KeepToSight",
    "batches.pages.middleware.RequireSecondStep",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "batches.pages.accounts.sign_in.show_wait",
    "batches.pages.middleware.show_wrong_method",
    "batches.pages.middleware.RefuseNul",
]
# Outermost, so that they cover every response, errors and redirects included.
MIDDLEWARE[:0] = [
    "django_htmx.middleware.HtmxMiddleware",
    "batches.pages.middleware.secure_headers",
    "batches.pages.middleware.htmx_sign_in",
]

ROOT_URLCONF = "ce_web.urls"
WSGI_APPLICATION = "ce_web.wsgi.application"
ASGI_APPLICATION = "ce_web.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [FILES_DIR / "templates"],
        "OPTIONS": {
            "loaders": [
                (
                    "django.template.loaders.cached.Loader",
                    ["ce_web.template_loader.SqueezingLoader", "django.template.loaders.app_directories.Loader"],
                )
            ],
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "batches.pages.context_processors.page",
            ],
        },
    },
]

# SQLite is the embedded default. IMMEDIATE and WAL: with Django's own defaults concurrent writers meet
# "database is locked" (measured: 1,274 errors in 3,854 writes; with these, none).
DATABASES = {"default": env_database("DATABASE_URL", f"sqlite:///{CE_DATA_DIR / 'db.sqlite3'}")}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
sys.stderr.write(close_database(DATABASES["default"]))
DATABASES["default"]["CONN_MAX_AGE"] = 600  # a new connection costs the ticker 8 ms on SQLite, more on PostgreSQL
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTHENTICATION_BACKENDS = ["batches.accounts.back_off.BackOff", "django.contrib.auth.backends.ModelBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "sign_in"
LOGIN_REDIRECT_URL = "batches:list"
LOGOUT_REDIRECT_URL = "sign_in"
PASSWORD_RESET_TIMEOUT = 24 * 3600  # also for one-time sign-in links
SESSION_COOKIE_AGE = 12 * 3600
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"

# "required": who signs in without a second step is led to set one up (docs/sign-in.md).
CE_TWO_STEP = env_str("CE_TWO_STEP", "optional", choices=("optional", "required"))

# Sign-in by an identity provider, OpenID Connect (docs/sign-in.md); without an issuer there is none.
CE_OIDC_ISSUER = env_url("CE_OIDC_ISSUER", "")
CE_OIDC_CLIENT_ID = env_str("CE_OIDC_CLIENT_ID", "")
CE_OIDC_CLIENT_SECRET = env_str("CE_OIDC_CLIENT_SECRET", "")
CE_OIDC_NAME = env_str("CE_OIDC_NAME", "single sign-on")
CE_OIDC_SCOPE = env_str("CE_OIDC_SCOPE", "openid profile email")
CE_OIDC_GROUPS = env_str("CE_OIDC_GROUPS", "groups")
CE_OIDC_ROLES = env_pairs("CE_OIDC_ROLES", ("viewer", "author", "executor", "admin"))
CE_OIDC_CREATE = env_bool("CE_OIDC_CREATE", False)
if CE_OIDC_ISSUER and not CE_OIDC_CLIENT_ID:
    raise ImproperlyConfigured("CE_OIDC_CLIENT_ID: expected the name that the identity provider of CE_OIDC_ISSUER gave to this site")

# Set CE_HTTPS=1 behind a TLS proxy. The default is loopback without TLS.
CE_HTTPS = env_bool("CE_HTTPS", False)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = CE_HTTPS
SECURE_SSL_REDIRECT = CE_HTTPS
SECURE_HSTS_SECONDS = 31536000 if CE_HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = CE_HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if CE_HTTPS else None
# Proxies whose X-Forwarded-For is believed: the address in the audit trail, for slow sign-ins and for bad tokens.
CE_TRUSTED_PROXIES = env_networks("CE_TRUSTED_PROXIES", "")
X_FRAME_OPTIONS = "DENY"
CSRF_FAILURE_VIEW = "batches.pages.errors.csrf_failure"

LANGUAGE_CODE = "en"
TIME_ZONE = env_time_zone("TIME_ZONE", "UTC")
USE_I18N = False
USE_TZ = True

STATIC_URL = "static/"
STATICFILES_DIRS = [FILES_DIR / "static"]
STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder", "django.contrib.staticfiles.finders.AppDirectoriesFinder"]
WHITENOISE_USE_FINDERS = True  # no collectstatic needed

# Fragments of live pages, rendered once per version for all web processes of this host.
CACHES = {
    "default": {
        "BACKEND": "ce_web.shared_cache.JsonFileCache",
        "LOCATION": CE_DATA_DIR / "cache",
        "TIMEOUT": 600,
        "OPTIONS": {"MAX_ENTRIES": 2000},
    }
}

CE_UPLOAD_BYTES = env_int("CE_UPLOAD_BYTES", 1_000_000, minimum=1_000, maximum=100_000_000)
DATA_UPLOAD_MAX_NUMBER_FILES = 50  # plans uploaded at once; each is held in memory
FILE_UPLOAD_HANDLERS = ["batches.pages.uploads.LimitedUpload"]
DATA_UPLOAD_MAX_MEMORY_SIZE = CE_UPLOAD_BYTES * 3 + 65_536  # a pasted plan, percent-encoded

# The engine. Projects and runs may override some of these defaults.
CE_HOST = env_name("CE_HOST", socket.gethostname())
CE_WORKER = env_bool("CE_WORKER", False)  # a worker host executes for the main host of its database
CE_DEAD_MAN_SECONDS = env_seconds("CE_DEAD_MAN_SECONDS", 60)  # attempts of a worker host that has lost the database for so long end
CE_SLOTS = env_int("CE_SLOTS", 8, minimum=1, maximum=256)  # parallel attempts on this host, over all batches
CE_HEARTBEAT_SECONDS = env_seconds("CE_HEARTBEAT_SECONDS", 30)
CE_SILENCE_SECONDS = env_seconds("CE_SILENCE_SECONDS", 60)
CE_NO_PROGRESS_SECONDS = env_seconds("CE_NO_PROGRESS_SECONDS", 600)
CE_PHASE_LIMIT_SECONDS = env_seconds("CE_PHASE_LIMIT_SECONDS", 3600)
CE_LAUNCH_SECONDS = env_seconds("CE_LAUNCH_SECONDS", 30)  # time for a launched attempt to start
CE_CRASH_RESTARTS = env_int("CE_CRASH_RESTARTS", 2, minimum=0, maximum=1000)
CE_RATE_LIMIT_SECONDS = env_seconds("CE_RATE_LIMIT_SECONDS", 15)  # shortest pause after a rate limit
CE_FREE_SPACE_BYTES = env_int("CE_FREE_SPACE_MB", 1024, minimum=0, maximum=2**31) * 2**20  # with less free space, no attempt starts
CE_SLICE_SECONDS = env_seconds("CE_SLICE_SECONDS", 10, maximum=20)
CE_POLL_SECONDS = env_seconds("CE_POLL_SECONDS", 2)  # how often a live page polls

# The sandbox for commands of steps, gates and agents (docs/security.md); 0 means no limit.
CE_SANDBOX = env_str("CE_SANDBOX", "auto", choices=("auto", "bwrap", "landlock", "rlimit"))
CE_ALLOW_UNSANDBOXED = env_bool("CE_ALLOW_UNSANDBOXED", False)
CE_COMMAND_MEMORY_BYTES = env_int("CE_COMMAND_MEMORY_GB", 8, minimum=0, maximum=4096) * 2**30  # in use, of a whole attempt
CE_COMMAND_ADDRESS_BYTES = env_int("CE_COMMAND_ADDRESS_GB", 0, minimum=0, maximum=65536) * 2**30  # WebAssembly reserves much
CE_COMMAND_FILE_BYTES = env_int("CE_COMMAND_FILE_GB", 8, minimum=0, maximum=4096) * 2**30
CE_COMMAND_PROCESSES = env_int("CE_COMMAND_PROCESSES", 1024, minimum=0, maximum=100_000)

LINEAR_API_KEY = env_str("LINEAR_API_KEY", "")  # for projects with a Linear team but no token
CE_LINEAR_URL = env_str("CE_LINEAR_URL", "https://api.linear.app/graphql")

# Notifications: the address of this site, the mail server, and whether webhooks may go to private addresses.
CE_SITE_URL = env_url("CE_SITE_URL", "http://127.0.0.1:8000")
CE_WEBHOOK_PRIVATE = env_bool("CE_WEBHOOK_PRIVATE", False)
# Whether code hosts may be at addresses that are not public, and at http.
CE_FORGE_PRIVATE = env_bool("CE_FORGE_PRIVATE", False)
# Networks that are not public and that the allowed hosts of a project may lead to all the same.
CE_PRIVATE_NETWORKS = env_networks("CE_PRIVATE_NETWORKS", "")
DEFAULT_FROM_EMAIL = env_str("CE_MAIL_FROM", "ce-web@localhost")
EMAIL_HOST, EMAIL_PORT, EMAIL_HOST_USER, EMAIL_HOST_PASSWORD, EMAIL_USE_SSL, EMAIL_USE_TLS = env_mail("CE_MAIL_URL", "")
EMAIL_TIMEOUT = 8

# The API of the agents; batches/integrations/api_keys.py reads the key.
CE_API_HTTP = env_bool("CE_API_HTTP", False)
CE_API_BASE_URL = env_url("ANTHROPIC_BASE_URL", "https://api.anthropic.com", near=CE_API_HTTP)

Q_CLUSTER: dict[str, Any] = {
    "name": "ce",  # also the salt of signatures: the same on every host
    "cluster_name": CE_HOST,  # each host has its own queue
    "orm": "default",
    "ALT_CLUSTERS": {},
    "workers": 3,
    "queue_limit": 3,
    "bulk": 1,
    "poll": 0.1,
    "guard_cycle": 0.5,
    "timeout": 30,
    "retry": 60,
    "ack_failures": True,
    "max_attempts": 1,
    "recycle": 500,
    "save_limit": 100,
    "catch_up": False,
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": env_str("LOG_LEVEL", "INFO", choices=("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"))},
    "loggers": {
        "django-q": {"handlers": ["console"], "level": "WARNING", "propagate": False},
        "httpx": {"level": "WARNING"},
    },
}
