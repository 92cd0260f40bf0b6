"""The tests' settings, with the peers' tables as one more app: first, so that the project's own still comes last."""

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS

INSTALLED_APPS = ["tests.benchmarks", *INSTALLED_APPS]
