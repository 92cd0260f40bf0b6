"""Japanese is complete: everything the sources say has a translation, and none reads like Django's stock phrases."""

import functools
import io
import re
from pathlib import Path

import pytest
from babel.messages.extract import extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from django.apps import apps
from django.test import override_settings
from django.utils.translation import gettext, ngettext, override
from django.utils.translation.template import templatize

from access_control.codes import Purpose
from consent.policy_text import revision_2016
from members.models import Member

ROOT = Path(__file__).parents[2]
CATALOGUE = ROOT / "config/locale/ja/LC_MESSAGES/django.po"
PACKAGES = ("access_control", "members", "consent", "retention", "config")
DJANGO = ("conf", "contrib/admin", "contrib/auth")
KEYWORDS = {
    **dict.fromkeys(("_", "gettext", "gettext_lazy", "gettext_noop")),
    **dict.fromkeys(("ngettext", "ngettext_lazy"), (1, 2)),
    **dict.fromkeys(("pgettext", "pgettext_lazy"), ((1, "c"), 2)),
    **dict.fromkeys(("npgettext", "npgettext_lazy"), ((1, "c"), 2, 3)),
}
JAPANESE = re.compile(r"[ぁ-ヿ一-鿿]")
LATIN_WORD = re.compile(r"[A-Za-z]{4,}")
PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|%[sd]|\{\w*\}")

# What Django says in Japanese and this console does not: too stiff, or about "objects" instead of people.
STIFF = (
    "Select %s to change",
    "Select %s to view",
    "Add %s",
    "View %s",
    "Add %(name)s",
    " By %(filter_title)s ",
    "Filter",
    "Show all",
    "%(counter)s result",
    "0 of %(cnt)s selected",
    "%(total_count)s selected",
    "Action:",
    "No action selected.",
    "Items must be selected in order to perform actions on them. No items have been changed.",
    "This field is required.",
    "Please correct the error below.",
    "Please enter the correct %(username)s and password for a staff account. "
    "Note that both fields may be case-sensitive.",
    "Please enter your old password, for security’s sake, and then enter your new password twice "
    "so we can verify you typed it in correctly.",
    "Change my password",
    "Your password was changed.",
    "This password is too common.",
    "The {name} “{obj}” was added successfully.",
    "%(name)s with ID “%(key)s” doesn’t exist. Perhaps it was deleted?",
)


def key(message):
    """A catalogue knows an entry by its context and its singular."""
    return message.context, message.id if isinstance(message.id, str) else message.id[0]


@functools.cache
def read(path):
    with path.open("rb") as file:
        return read_po(file, locale="ja", abort_invalid=True)


def entries():
    return {key(message): message for message in read(CATALOGUE) if message.id}


def said(message):
    return message.string if isinstance(message.string, tuple) else (message.string,)


@functools.cache
def said_by_django():
    root = Path(apps.get_app_config("admin").module.__file__).parents[2]
    catalogues = [read(root / part / "locale/ja/LC_MESSAGES/django.po") for part in DJANGO]
    return {key(message): message for catalogue in catalogues for message in catalogue if message.id}


@functools.cache
def said_by_the_sources():
    """(context, singular) → (plural or None, where)."""
    python = [(path, path.read_text()) for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    templates = [
        # Template text becomes names and calls, one statement a line: only the indentation is no Python.
        (path, "\n".join(line.strip() for line in templatize(path.read_text(), origin=str(path)).splitlines()))
        for path in (ROOT / "templates").rglob("*")
        if path.suffix in {".html", ".txt"}
    ]
    found = {}
    for path, text in python + templates:
        for line, message, _comments, context in extract("python", io.BytesIO(text.encode()), KEYWORDS):
            singular, plural = message[-2:] if isinstance(message, tuple) else (message, None)
            found[context, singular] = plural, f"{path.relative_to(ROOT)}:{line}"
    return found


def test_the_sources_are_read_whole():
    found = said_by_the_sources()
    # One of each kind: Python, plural in Python, template tag, plural in a template, a literal inside a tag, a mail.
    assert (None, "Find a caller") in found
    assert found[None, "%(n)d person's access has ended."][0] == "%(n)d people's access has ended."
    assert (None, "What to say") in found
    assert found[None, "%(n)s member found"][0] == "%(n)s members found"
    assert (None, "Personal Information Console") in found
    assert (None, "Your %(item)s was changed (reference %(reference)s)") in found


def test_everything_the_sources_say_has_a_japanese_translation():
    japanese = entries()
    missing = [
        f"{where}: {singular}"
        for (context, singular), (_plural, where) in said_by_the_sources().items()
        if (context, singular) not in japanese or not all(said(japanese[context, singular]))
    ]
    assert not missing, "Run make messages, then translate:\n" + "\n".join(missing)


def test_plurals_are_those_of_the_sources():
    japanese = entries()
    for name, (plural, where) in said_by_the_sources().items():
        if plural is not None:
            assert japanese[name].id == (name[1], plural), where
            assert len(said(japanese[name])) == 1, f"Japanese has one form: {name[1]}"


def test_the_catalogue_holds_nothing_that_nobody_says():
    known = said_by_the_sources().keys() | said_by_django().keys()
    assert sorted(map(str, entries().keys() - known)) == []
    assert not read(CATALOGUE).obsolete


def test_no_translation_is_a_guess():
    assert [message.id for message in entries().values() if message.fuzzy] == []


def test_no_sentence_stays_english():
    english = [
        message.id
        for (_context, singular), message in entries().items()
        if LATIN_WORD.search(PLACEHOLDER.sub("", singular)) and not all(JAPANESE.search(text) for text in said(message))
    ]
    assert english == []


def test_placeholders_agree():
    for message in entries().values():
        forms = message.id if isinstance(message.id, tuple) else (message.id,)
        for text in said(message):
            assert set(PLACEHOLDER.findall(text)) == set(PLACEHOLDER.findall(forms[-1])), message.id


def test_the_header_says_japanese():
    header = read(CATALOGUE)
    assert (str(header.locale), header.num_plurals, header.fuzzy) == ("ja", 1, False)
    assert "PACKAGE" not in header.header_comment


@pytest.fixture
def in_japanese(tmp_path):
    """The catalogue as it stands, compiled, before Django's own."""
    target = tmp_path / "ja" / "LC_MESSAGES" / "django.mo"
    target.parent.mkdir(parents=True)
    with target.open("wb") as file:
        write_mo(file, read(CATALOGUE))
    with override_settings(LOCALE_PATHS=[tmp_path]), override("ja"):
        yield


@pytest.mark.parametrize("phrase", STIFF)
def test_stiff_phrases_are_said_otherwise(phrase):
    stock = said_by_django()[None, phrase]
    assert (None, phrase) in entries(), "collecting texts dropped it: our own sources do not say it"
    assert said(entries()[None, phrase]) != said(stock)


def test_our_words_win_over_djangos(in_japanese):
    assert gettext("Select %s to change") % Member._meta.verbose_name == "会員の一覧"
    assert ngettext("%(counter)s result", "%(counter)s results", 2) % {"counter": 2} == "2件"
    assert gettext("Monday") == "月曜日"
    assert gettext("What to say") == "お客様へのご案内"


def test_purposes_are_called_as_in_the_published_policy(in_japanese):
    published = "".join(sentence.ja for clause in revision_2016.CLAUSES for sentence in clause.sentences)
    assert [label for label in Purpose.labels if str(label) not in published] == []
