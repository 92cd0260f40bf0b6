"""How long, and what then."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class RetentionConfig(AppConfig):
    """Retention periods and destruction. Depends on every other app; none depends on it."""

    name = "retention"
    verbose_name = _("retention")
