"""Mail addresses."""

import re

from django.core.exceptions import ValidationError
from django.core.validators import EmailValidator
from django.utils.translation import gettext_lazy as _

from members.normal_forms.characters import plain
from members.normal_forms.not_normal import NotNormal

# RFC 5321 lets "a..b"@ and a..b@ mean one mailbox; files hold both, and no caller says the quotation marks.
_QUOTED = re.compile(r'"([^"\s@]+)"(?=@)')
_SHAPE = re.compile(r"[^\s@]+@[^\s@]+")

# Carriers whose old addresses have dots where no other server takes them.
_CARRIER = re.compile(
    r"[a-z0-9_.+-]*[a-z0-9_][a-z0-9_.+-]*"
    r"@(?:[a-z0-9-]+\.)?(?:docomo|ezweb|softbank|vodafone|pdx|disney|willcom-inc|au|i\.softbank)\.(?:ne\.jp|com|jp)"
)

_is_valid = EmailValidator()


def mail(text: str) -> str:
    """The address in lower case and narrow characters; a full-width ＠ or ． counts as the narrow one.

    Old addresses of Japanese carriers with two dots in a row or a dot before the @ are alive and are accepted.
    Raises `NotNormal` unless there is exactly one @ with something on both sides and no space.
    """
    address = _QUOTED.sub(r"\1", plain(plain(text).lower()).replace("。", "."), count=1)
    if not _SHAPE.fullmatch(address):
        raise _unreadable()
    return address


def new_mail(text: str) -> str:
    """The same for an address entered today, which must also be one that any mail server accepts, or a carrier's."""
    address = mail(text)
    if _CARRIER.fullmatch(address):
        return address
    try:
        _is_valid(address)
    except ValidationError:
        raise _unreadable() from None
    return address


def _unreadable() -> NotNormal:
    return NotNormal("mail_unreadable", _("Enter a mail address, for example taro@example.jp."))
