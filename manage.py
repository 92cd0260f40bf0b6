#!/usr/bin/env python
"""Runs a management command with the database role that the command is entitled to, and no more."""

import os
import sys

# The role a command connects as. Whatever is not named runs as the *app* role, which owns nothing.
ROLE_OF = {
    "migrate": "owner",
    "setup_roles": "owner",
    "run_purge": "purger",
    "destroy_again": "purger",
    "policy_board": "reader",
    "report": "reader",
    "verify_purge": "reader",
}
# Commands that never open a database; everything else gets the embedded server when no DATABASE_URL is set.
WITHOUT_DATABASE = {"check", "makemigrations", "makemessages", "collectstatic", "help", "version"}


def main() -> None:
    """Run the command named in ``sys.argv``."""
    command = sys.argv[1] if len(sys.argv) > 1 else "help"
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    os.environ.setdefault("CONSOLE_DB_ROLE", ROLE_OF.get(command, "app"))

    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        if os.environ.get("DATABASE_URL") or command in WITHOUT_DATABASE:
            execute_from_command_line(sys.argv)
            return
        from config.embedded import running_for_this_process

        with running_for_this_process():
            execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.stderr.write(f"{error}\n.env.example lists every setting; with the demo, set DEBUG=1 DEMO=1.\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
