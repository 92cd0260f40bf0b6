"""Number 22: no text that people type or import holds a control, a turn of the writing, or nothing that can be seen."""

import inspect
import json

import pytest
from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from access_control import services
from access_control.characters import CONTROL, NOTHING_VISIBLE, TURNS_AROUND, strange_character
from access_control.forms import PlainTextForm
from members.intake import Rejected
from members.models import CaseNote, ContactPoint, Correction
from members.services.cases import add_note
from members.services.corrections import ask_correction
from tests import factories

OURS = ("access_control", "members", "consent", "retention", "config")


@pytest.mark.parametrize(
    ("text", "code", "position", "name"),
    [
        ("\0", CONTROL, 1, "U+0000 NULL"),
        ("ab\x07", CONTROL, 3, "U+0007 ALERT"),
        ("a\x1b[31m", CONTROL, 2, "U+001B ESCAPE"),
        ("山田\x7f", CONTROL, 3, "U+007F DELETE"),
        ("a\x9b", CONTROL, 2, "U+009B CONTROL"),
        ("a\nb", CONTROL, 2, "U+000A LINE FEED"),
        ("a\tb", CONTROL, 2, "U+0009 CHARACTER TABULATION"),
        ("a\x85b", CONTROL, 2, "U+0085 NEXT LINE"),
        ("a\u2028b", CONTROL, 2, "U+2028 LINE SEPARATOR"),
        ("a\ud800", CONTROL, 2, "U+D800 HALF OF A PAIR"),
        ("a\ufffe", CONTROL, 2, "U+FFFE NO CHARACTER"),
        ("a\U0001ffff", CONTROL, 2, "U+1FFFF NO CHARACTER"),
        ("\ufffa", CONTROL, 1, "U+FFFA INTERLINEAR ANNOTATION SEPARATOR"),
        ("山田\u202e花子", TURNS_AROUND, 3, "U+202E RIGHT-TO-LEFT OVERRIDE"),
        ("\u202a090-1000-5678\u202c", TURNS_AROUND, 1, "U+202A LEFT-TO-RIGHT EMBEDDING"),
        ("a\u2067b", TURNS_AROUND, 2, "U+2067 RIGHT-TO-LEFT ISOLATE"),
        ("a\u2069", TURNS_AROUND, 2, "U+2069 POP DIRECTIONAL ISOLATE"),
        ("\u200b", NOTHING_VISIBLE, 1, "U+200B ZERO WIDTH SPACE"),
        ("　\u200d ", NOTHING_VISIBLE, 2, "U+200D ZERO WIDTH JOINER"),
        ("\ufeff\u2060", NOTHING_VISIBLE, 1, "U+FEFF ZERO WIDTH NO-BREAK SPACE"),
        ("\u3164", NOTHING_VISIBLE, 1, "U+3164 HANGUL FILLER"),
        ("\u2800\u2800", NOTHING_VISIBLE, 1, "U+2800 BRAILLE PATTERN BLANK"),
        ("\U000e0100", NOTHING_VISIBLE, 1, "U+E0100 VARIATION SELECTOR-17"),
        ("\u00ad", NOTHING_VISIBLE, 1, "U+00AD SOFT HYPHEN"),
    ],
)
def test_what_no_honest_text_holds_is_named_by_place(text, code, position, name):
    found = strange_character(text)
    assert (found.code, found.position, found.name) == (code, position, name)
    assert str(position) in found.message
    assert name in found.message


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "　",
        "山田 花子",
        "葛\U000e0100城市",
        "辻\ufe00",
        "👨\u200d👩\u200d👧",
        "❤\ufe0f",
        "a\u200bb",
        "می\u200cخواهم",
        "\ue000様",
        "김 하나",
        "Ž\u0301",
        "\u200e山田",
    ],
)
def test_marks_that_belong_to_something_visible_are_fine(text):
    assert strange_character(text) is None


@pytest.mark.parametrize("lines", ["一\n二", "一\r\n二", "一\t二", "一\x85二", "一\u2029二"])
def test_lines_and_tabs_are_fine_where_a_text_may_have_several(lines):
    assert strange_character(lines) is not None
    assert strange_character(lines, lines=True) is None
    assert strange_character(lines + "\x0b", lines=True).position == len(lines) + 1


@given(st.text(), st.booleans())
def test_no_text_fails_and_a_place_is_in_the_text(text, lines):
    found = strange_character(text, lines=lines)
    assert found is None or 1 <= found.position <= len(text)


def our_forms():
    """Every form class of ours with a text, and the one of signing in; the admin has imported whatever defines one."""
    found, waiting = {admin.site.login_form}, [forms.BaseForm]
    while waiting:
        for form in waiting.pop().__subclasses__():
            waiting.append(form)
            if form.__module__.split(".")[0] in OURS:
                found.add(form)
    return sorted((form for form in found if texts_of(form)), key=lambda form: form.__qualname__)


def texts_of(form):
    return [name for name, field in getattr(form, "base_fields", {}).items() if isinstance(field, forms.CharField)]


def made(form, data, actor):
    """The form bound to ``data``; what else its kind is made with is given by name."""
    others = {"actor": actor, "user": actor, "shown": [], "facts": ["birth_date", "postcode", "last_four"]}
    asked = {name for base in form.__mro__ for name in inspect.signature(base.__init__).parameters}
    return form(data=data, **{name: value for name, value in others.items() if name in asked})


def test_no_form_can_be_forgotten():
    reverse("admin:index")
    seen = our_forms()
    assert {"NoteForm", "FindForm", "HireForm", "SignInForm", "SubjectForm"} <= {form.__name__ for form in seen}
    for form in seen:
        assert issubclass(form, PlainTextForm), f"{form.__module__}.{form.__name__}: {texts_of(form)}"


@pytest.mark.parametrize("bad", ["x\x07", "\u202ex", "\u200b", "x\u2066"])
def test_every_text_of_every_form_is_refused_with_its_place(agent, bad):
    for form in our_forms():
        for name in texts_of(form):
            tried = made(form, {name: bad}, agent)
            assert any("U+" in error for error in tried.errors.get(name, [])), f"{form.__name__}.{name}"


def test_the_page_says_which_character(client, identified):
    client.force_login(identified.owner)
    client.cookies["django_language"] = "en"
    note = reverse("admin:members_case_act", args=[identified.pk, "case", "note"])
    page = client.post(note, {"text": "折り返し\u202eは午後に"}).content.decode()
    assert "Character 5 is U+202E RIGHT-TO-LEFT OVERRIDE" in page
    assert not CaseNote.objects.exists()
    assert client.post(note, {"text": "一行目\r\n\t二行目"}).status_code == 302


def test_services_refuse_too(agent, identified, hanako):
    row = ContactPoint.objects.get(member=hanako, kind="email")
    for bad in ("a\0@example.jp", "\u202ea@example.jp", "\u200b"):
        with pytest.raises(ValidationError):
            ask_correction(identified, item="contact.email", row=row.pk, text=bad, actor=agent)
        with pytest.raises(ValidationError):
            add_note(identified, text=bad, actor=agent)
        with pytest.raises(ValidationError):
            services.hire(
                "X1", display_name=bad, entity=agent.person.entity, access_class="", joined_on=None, actor=None
            )
    assert not Correction.objects.exists()


@pytest.mark.parametrize("bad", ["x\x07x", "\u202ex", "x\u2069"])
@pytest.mark.parametrize(
    ("path", "change"),
    [
        ("name", lambda text: {"name": text}),
        ("member_number", lambda text: {"member_number": text}),
        ("contacts[0].value", lambda text: {"contacts": [{"kind": "phone", "value": text}]}),
        ("addressees[0].address", lambda text: {"addressees": [{"name": "山田", "address": text}]}),
        ("sex", lambda text: {"sex": text}),
        ("joined_on", lambda text: {"joined_on": text}),
    ],
)
def test_a_row_names_path_position_and_character(bad, path, change):
    with pytest.raises(Rejected) as rejected:
        factories.new_member(**change(bad))
    (fault,) = [fault for fault in rejected.value.faults if fault.code in {CONTROL, TURNS_AROUND}]
    assert fault.field == path
    assert "U+" in str(fault.message)
    json.dumps(str(fault.message)).encode()


@pytest.mark.parametrize("bad", ["\u200b", "　\u3164", "\u2800"])
def test_a_row_of_nothing_visible_is_no_name(bad):
    with pytest.raises(Rejected) as rejected:
        factories.new_member(name=bad)
    assert [(fault.field, fault.code) for fault in rejected.value.faults] == [("name", NOTHING_VISIBLE)]


def test_commands_name_the_argument():
    with pytest.raises(CommandError) as refused:
        call_command("approve_purge", "20260101-\u202eABCD", username="nobody")
    assert refused.value.returncode == 2
    assert "plan: character 10 is U+202E" in str(refused.value)
