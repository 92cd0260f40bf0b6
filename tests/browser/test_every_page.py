"""Every page, for every role that may see it, in both languages: what a browser, axe and a phone say about it."""

import contextlib
import dataclasses
import uuid
from collections.abc import Callable

import pytest
from django.contrib import admin
from django.urls import reverse

from access_control import requests as incoming
from access_control import sign_in
from access_control.codes import Purpose
from access_control.privileges import OWN_APPS
from access_control.restore import Sign
from members.services import finding
from tests.browser.access import TO_AGREE
from tests.browser.screens import Screen

pytestmark = pytest.mark.browser

AGENT, AGENT2, SUPERVISOR, OFFICER = "agent", "agent2", "supervisor", "officer"
AUDITOR, ADMINISTRATOR, RECORDS, NOBODY = "auditor", "administrator", "records", ""
ALL = (AGENT, SUPERVISOR, OFFICER, AUDITOR, ADMINISTRATOR, RECORDS)
ANSWERING = (AGENT, SUPERVISOR)
OVERSEEING = (SUPERVISOR, OFFICER)
DESTROYING = (SUPERVISOR, OFFICER, AUDITOR)
PERSONNEL = (OFFICER, AUDITOR, ADMINISTRATOR)


@dataclasses.dataclass(frozen=True)
class Sheet:
    """A page: who looks at it here and who may as well, where it is, and what is done there to come to it."""

    name: str
    who: tuple[str, ...]
    view: str = ""
    args: Callable = lambda day: ()
    query: str = ""
    typed: dict[str, str] = dataclasses.field(default_factory=dict)
    chosen: dict[str, str] = dataclasses.field(default_factory=dict)
    ticked: str = ""
    forged: dict[str, str] = dataclasses.field(default_factory=dict)
    press: str = ""
    status: int = 200
    refused: bool = False
    also: tuple[str, ...] = ()
    # Where it is, when it is no view of the admin.
    at: Callable | None = None

    def path(self, day):
        """The address that is opened first."""
        if self.at is not None:
            return self.at(day)
        return (reverse(f"admin:{self.view}", args=self.args(day)) if self.view else "/no/such/page/") + self.query


def case(owner, stage):
    """The arguments of a case's address."""
    return lambda day: [day.cases[owner, stage].pk]


def member(owner, stage):
    """The arguments of the address of a case's member."""
    return lambda day: [day.cases[owner, stage].member_id]


def plan(state):
    """The arguments of the address of a plan that stands so."""
    return lambda day: [day.plans[state].pk]


def plan_sheets():
    """Destruction plans, however they stand."""
    for state in ("nothing", "waiting", "approved", "running", "finished", "elsewhere", "withdrawn", "given_up"):
        yield Sheet(f"plan-{state}", (OFFICER,), "retention_plan_change", plan(state), also=DESTROYING)
    yield Sheet("plan-read", (SUPERVISOR, AUDITOR), "retention_plan_change", plan("waiting"), also=DESTROYING)
    yield Sheet("plan-none", (AUDITOR,), "retention_plan_change", plan("waiting"), "?parked=busy", also=DESTROYING)
    yield Sheet("plan-parked", (OFFICER,), "retention_plan_change", plan("finished"), "?sort=due", also=DESTROYING)
    for state in ("waiting", "running", "finished", "given_up"):
        yield Sheet(f"run-{state}", (OFFICER,), "retention_plan_run", plan(state), also=DESTROYING)
    asked = Sheet("plan-approve", (SUPERVISOR,), "retention_plan_approve", plan("waiting"), also=(OFFICER,))
    yield asked
    yield dataclasses.replace(asked, name="plan-approve-own", who=(OFFICER,), also=(SUPERVISOR,))
    yield Sheet("plans", DESTROYING, "retention_plan_changelist")
    yield Sheet("plans-waiting", (AUDITOR,), "retention_plan_changelist", query="?state=waiting", also=DESTROYING)


def certificate_sheets():
    """Certificates, and the lines of a person in one."""
    yield Sheet("certificates", DESTROYING, "retention_certificate_changelist")
    whole = Sheet("certificate", DESTROYING, "retention_certificate_change", plan("finished"))
    yield whole
    yield Sheet("certificate-elsewhere", (AUDITOR,), "retention_certificate_change", plan("elsewhere"), also=DESTROYING)
    asked = dataclasses.replace(whole, who=(OFFICER,), also=DESTROYING, press="#find form button")
    yield dataclasses.replace(asked, name="certificate-find-nobody", typed={"#id_who": "0000-0000"})
    yield dataclasses.replace(asked, name="certificate-find", typed={"#id_who": str(uuid.UUID(int=1))})


def hold_sheets():
    """Legal holds, placing one and lifting one."""
    yield Sheet("holds", DESTROYING, "retention_legalhold_changelist")
    place = Sheet("hold-place", OVERSEEING, "retention_legalhold_place")
    yield place
    asked = dataclasses.replace(place, who=(OFFICER,), also=OVERSEEING, press="main form button")
    yield dataclasses.replace(asked, name="hold-place-nobody", typed={"#id_who": str(uuid.UUID(int=1))})
    yield dataclasses.replace(asked, name="hold-place-empty")
    yield Sheet("hold-lift", OVERSEEING, "retention_legalhold_lift", lambda day: [day.hold])


def case_sheets():
    """The case as one screen, at every stage, for whoever answers it and whoever oversees it."""
    for owner, stage in (
        (AGENT, "fresh"),
        (AGENT, "contested"),
        (AGENT, "inquiry"),
        (AGENT, "pending"),
        (AGENT, "closed"),
        (AGENT, "ending"),
        (AGENT, "ended"),
        (AGENT, "returning"),
        (AGENT, "unproven"),
        (AGENT, "document"),
        (AGENT2, "untold"),
        (AGENT2, "identified"),
        (AGENT2, "corrected"),
    ):
        yield Sheet(f"case-{stage}", (owner,), "members_case_change", case(owner, stage), also=OVERSEEING)
    for stage in ("undecided", "late"):
        shown = Sheet(f"case-{stage}", (AGENT,), "members_case_change", case(AGENT, stage), also=OVERSEEING)
        yield dataclasses.replace(shown, refused=True)
    for stage in ("fresh", "pending", "closed", "ended", "unproven", "document"):
        yield Sheet(f"case-overseen-{stage}", OVERSEEING, "members_case_change", case(AGENT, stage), also=(AGENT,))
    yield Sheet("case-of-another", (AGENT,), "members_case_change", case(AGENT2, "fresh"), status=404)

    def pressed(name, stage, press, **typed):
        ids = {f"#id_{field}": text for field, text in typed.items()}
        return Sheet(name, (AGENT,), "members_case_change", case(AGENT, stage), typed=ids, press=press, also=OVERSEEING)

    alone = pressed("identity-one-fact", "fresh", "#step-identity form button", postcode="100-0001")
    yield dataclasses.replace(alone, refused=True)
    yield pressed("identity-no-date", "fresh", "#step-identity form button", birth_date="2月30日", last_four="1234")
    yield pressed("note-with-card", "fresh", "aside form button", text="4242 4242 4242 4242")
    yield pressed("ending-unheard", "ending", "#step-ending form button")
    yield pressed("correction-malformed", "pending", "#step-correction form.form-grid button", value="@")
    yield pressed("correction-card", "pending", "#step-correction form.form-grid button", value="4242 4242 4242 4242")
    yield pressed("correction-unseen", "pending", "#step-correction form.form-grid button", value="\u202eabc")
    unissued = pressed("document-unissued", "unproven", "#step-identity form button", issued_on="2月30日")
    yield dataclasses.replace(unissued, who=(SUPERVISOR,), also=(AGENT, OFFICER))
    yield pressed("revealed", "pending", "button[name=target][value$=':kana']")
    # A purpose that the page does not offer, and for which the company's own rule keeps this item from use.
    refused = pressed("refused", "pending", "button[name=target][value$=':sex']")
    yield dataclasses.replace(
        refused, refused=True, forged={"#id_purpose option:checked": str(Purpose.FITTED_SERVICE.value)}
    )


def access_sheets():
    """Access by two persons: asking, what is asked for, and the owner's first password."""
    about = {"person": lambda day: [day.person], "account": lambda day: [day.account]}
    for name, view, subject in (("move", "person_move", "person"), ("new-password", "staff_link", "account")):
        yield Sheet(f"ask-{name}", (ADMINISTRATOR,), f"access_control_{view}", about[subject])
    twice = Sheet("ask-twice", (ADMINISTRATOR,), "access_control_staff_link", about["account"])
    yield dataclasses.replace(twice, press="main form .button--primary", refused=True)
    yield Sheet("access-requests", PERSONNEL, "access_control_accessrequest_changelist")
    for state in ("hire", "move", "link", "done"):
        shown = Sheet(f"request-{state}", (OFFICER,), "access_control_accessrequest_change", request(state))
        yield dataclasses.replace(shown, also=PERSONNEL)
    yield Sheet(
        "request-read", (AUDITOR, ADMINISTRATOR), "access_control_accessrequest_change", request("hire"), also=PERSONNEL
    )
    first = Sheet("first-password", (NOBODY,), at=lambda day: reverse("first_password", args=[day.link]))
    yield first
    weak = {"#id_password": "パスワード1980", "#id_again": "パスワード1981"}
    yield dataclasses.replace(first, name="first-password-twice", typed=weak, press="main form .button--primary")
    weak = dict.fromkeys(weak, "watanabe1980")
    yield dataclasses.replace(first, name="first-password-weak", typed=weak, press="main form .button--primary")
    ended = reverse("first_password", args=["x" * 43])
    yield dataclasses.replace(first, name="first-password-ended", at=lambda day: ended, status=410, refused=True)


def request(state):
    """The arguments of a request's address."""
    return lambda day: [day.requests[state]]


SHEETS = (
    Sheet("login", (NOBODY,), "login"),
    Sheet(
        "login-refused",
        (NOBODY,),
        "login",
        typed={"#id_username": "agent", "#id_password": "no"},
        press="form .button--wide",
        refused=True,
    ),
    Sheet("start", ALL, "index"),
    Sheet("find", ANSWERING, "members_member_find"),
    Sheet("find-empty", ANSWERING, "members_member_find", typed={"#id_second": "1234"}, press="main form button"),
    Sheet(
        "find-hits",
        ANSWERING,
        "members_member_find",
        typed={"#id_identifier": "０３－１２３４－５６７８"},
        press="main form button",
    ),
    Sheet(
        "find-none",
        ANSWERING,
        "members_member_find",
        typed={"#id_identifier": "03-0000-0000"},
        press="main form button",
    ),
    Sheet(
        "find-name-alone",
        ANSWERING,
        "members_member_find",
        typed={"#id_identifier": "山田 花子"},
        press="main form button",
    ),
    *case_sheets(),
    Sheet("cases", (AGENT, *OVERSEEING), "members_case_changelist"),
    Sheet(
        "cases-filtered",
        (AGENT, *OVERSEEING),
        "members_case_changelist",
        query="?state__exact=open&kind__exact=correction",
    ),
    Sheet("cases-none", (AGENT,), "members_case_changelist", query="?q=0000-0000", also=OVERSEEING),
    Sheet("members", ANSWERING, "members_member_changelist"),
    Sheet("member", (AGENT,), "members_member_change", member(AGENT, "pending")),
    Sheet("member-ended", (AGENT,), "members_member_change", member(AGENT, "ended")),
    Sheet("history-ended", (AGENT,), "members_member_history", member(AGENT, "ended")),
    Sheet("member-corrected", (AGENT2,), "members_member_change", member(AGENT2, "corrected")),
    Sheet("history", (AGENT2,), "members_member_history", member(AGENT2, "corrected")),
    Sheet("board", (OFFICER, AUDITOR), "policy_board"),
    Sheet("board-not-kept", (OFFICER,), "policy_board", query="?state=not_kept", also=(AUDITOR,)),
    Sheet("board-none", (AUDITOR,), "policy_board", query="?state=cannot_compute", also=(OFFICER,)),
    Sheet("records", (RECORDS,), "members_transaction_changelist"),
    Sheet("records-of-a-day", (RECORDS,), "members_transaction_changelist", query="?q=R1.5.1"),
    Sheet("records-no-day", (RECORDS,), "members_transaction_changelist", query="?q=2-30"),
    Sheet("record", (RECORDS,), "members_transaction_change", lambda day: [day.record]),
    Sheet("record-why", (RECORDS,), "members_transaction_change", lambda day: [day.record], press="main form button"),
    Sheet(
        "record-revealed",
        (RECORDS,),
        "members_transaction_change",
        lambda day: [day.record],
        ticked="[value=tax_audit]",
        press="main form button",
    ),
    *plan_sheets(),
    *certificate_sheets(),
    *hold_sheets(),
    Sheet("registers-retention", (OFFICER,), "app_list", lambda day: ["retention"], also=DESTROYING),
    Sheet("ledger", (OFFICER, AUDITOR), "access_control_ledgerevent_changelist"),
    Sheet(
        "ledger-filtered",
        (AUDITOR,),
        "access_control_ledgerevent_changelist",
        query="?event=case:opened",
        also=(OFFICER,),
    ),
    Sheet("ledger-event", (OFFICER, AUDITOR), "access_control_ledgerevent_change", lambda day: [day.event]),
    Sheet("people", PERSONNEL, "access_control_person_changelist"),
    Sheet("person", PERSONNEL, "access_control_person_change", lambda day: [day.person]),
    Sheet("person-add", (ADMINISTRATOR,), "access_control_person_add"),
    Sheet("person-add-empty", (ADMINISTRATOR,), "access_control_person_add", press=".form-actions button"),
    Sheet("accounts", PERSONNEL, "access_control_staff_changelist"),
    Sheet("account", PERSONNEL, "access_control_staff_change", lambda day: [day.account]),
    *access_sheets(),
    Sheet("account-add", (ADMINISTRATOR,), "access_control_staff_add"),
    Sheet("account-add-empty", (ADMINISTRATOR,), "access_control_staff_add", press=".form-actions button"),
    Sheet("entities", PERSONNEL, "access_control_entity_changelist"),
    Sheet("entity", PERSONNEL, "access_control_entity_change", lambda day: ["jp"]),
    Sheet("registers", PERSONNEL, "app_list", lambda day: ["access_control"]),
    Sheet("registers-members", (AGENT, *OVERSEEING, RECORDS), "app_list", lambda day: ["members"]),
    Sheet(
        "person-left-today",
        (ADMINISTRATOR,),
        "access_control_person_changelist",
        chosen={"[name=action]": "left_today"},
        ticked="tr:has-text('E0102') input[name=_selected_action]",
        press="[name=index]",
        also=PERSONNEL,
    ),
    Sheet("password", ALL, "password_change"),
    Sheet("password-empty", (AGENT,), "password_change", press="main form input[type=submit]", also=ALL),
    Sheet("password-changed", (AGENT,), "password_change_done", also=ALL),
    Sheet("not-found", ALL, status=404),
)


def looks():
    """Every page for each role that sees it differently, in Japanese and in light colours; of the other three ways to
    look at it one for every third page, in turn. The rest of the cross product is marked *sweep*.
    """
    others = (("en", "light"), ("ja", "dark"), ("en", "dark"))
    seen = [(who, sheet) for sheet in SHEETS for who in sheet.who]
    for number, (who, sheet) in enumerate(seen):
        sampled = others[number // 3 % 3] if number % 3 == 0 else None
        for language, colours in (("ja", "light"), *others):
            chosen = (language, colours) in {("ja", "light"), sampled}
            name = f"{who or 'nobody'}-{sheet.name}-{language}-{colours}"
            marks = () if chosen else pytest.mark.sweep
            yield pytest.param(who, sheet, language, colours, id=name, marks=marks)


@pytest.mark.parametrize(("account", "sheet", "language", "colours"), list(looks()))
def test_a_page_has_no_fault(screen_of, day, account, sheet, language, colours):
    screen = screen_of(account, language)
    status = screen.open(sheet.path(day))
    for field, text in sheet.typed.items():
        screen.page.fill(field, text)
    for field, value in sheet.chosen.items():
        screen.page.select_option(field, value)
    if sheet.ticked:
        screen.page.check(sheet.ticked)
    for element, value in sheet.forged.items():
        screen.page.eval_on_selector(element, "(element, value) => { element.value = value }", value)
    if sheet.press:
        # What the browser would refuse to send is sent here, to see what the console says to it.
        screen.page.eval_on_selector_all("form", "forms => forms.forEach(form => form.noValidate = true)")
        status = screen.press(sheet.press)
    assert status == sheet.status
    assert screen.page.locator(".refusal").count() == sheet.refused
    assert screen.page.get_attribute("html", "lang") == language
    faults = screen.faults(colours)
    assert not faults, "\n".join(faults)


def restored(*signs):
    """While the guard sees these signs."""
    return lambda monkeypatch, settings: monkeypatch.setattr(incoming, "look_briefly", lambda: list(signs))


# What shows the page → the account, where, what is typed and pressed there, the status.
TROUBLE = {
    "restored-console": (restored(Sign.LEDGER_SHORT, Sign.APPROVAL_UNSPENT), AGENT, "/", {}, "", 503),
    "restored-vault": (restored(Sign.VAULT_FORGOT), AGENT, "/", {}, "", 503),
    "too-large": (
        lambda monkeypatch, settings: setattr(settings, "REQUEST_BODY_MAX_BYTES", 10),
        AGENT,
        "/members/member/find/",
        {"#id_identifier": "山田 花子"},
        "main form .button--primary",
        413,
    ),
    "sign-in-locked": (
        lambda monkeypatch, settings: monkeypatch.setattr(sign_in, "ACCOUNT_TRIES", 1),
        NOBODY,
        "/login/",
        {"#id_username": "nobody's", "#id_password": "no"},
        "form .button--wide",
        429,
    ),
    "find-budget": (
        lambda monkeypatch, settings: monkeypatch.setattr(finding, "FINDS_AN_HOUR", 1),
        AGENT,
        "/members/member/find/",
        {"#id_identifier": "03-0000-0000"},
        "main form .button--primary",
        200,
    ),
}


@pytest.mark.parametrize(("language", "colours"), [("ja", "light"), ("en", "dark")])
@pytest.mark.parametrize("trouble", TROUBLE)
def test_a_page_of_trouble_has_no_fault(screen_of, monkeypatch, settings, trouble, language, colours):
    happen, account, address, typed, press, status = TROUBLE[trouble]
    screen = screen_of(account, language)
    if not press:
        happen(monkeypatch, settings)
    found = screen.open(address)
    for field, text in typed.items():
        screen.page.fill(field, text)
    if press:
        happen(monkeypatch, settings)
        found = screen.press(press)
    assert found == status
    faults = screen.faults(colours)
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("number", range(TO_AGREE))
def test_the_page_of_a_link_has_no_fault(screen_of, day, number):
    """A link is shown once, so that each look at it is at the link of another request."""
    language, colours = [(language, colours) for language in ("ja", "en") for colours in ("light", "dark")][number]
    screen = screen_of(OFFICER, language)
    screen.open(reverse("admin:access_control_accessrequest_change", args=request(f"agree-{number}")(day)))
    assert screen.press("[value=agree]") == 200
    assert "/first-password/" in screen.page.input_value("#one-time-link")
    faults = screen.faults(colours)
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("account", ALL)
def test_what_a_role_may_not_see_is_refused(screen_of, day, account):
    screen = screen_of(account, "ja")
    others = [sheet for sheet in SHEETS if sheet.status == 200 and account not in (NOBODY, *sheet.who, *sheet.also)]
    answers = {sheet.name: screen.status_of(sheet.path(day)) for sheet in others if NOBODY not in sheet.who}
    assert len(answers) > 5
    assert {name: status for name, status in answers.items() if status not in {403, 404}} == {}


def test_who_is_not_signed_in_is_sent_to_the_sign_in_page(chromium, day, address):
    with contextlib.closing(chromium.new_context()) as context:
        for sheet in SHEETS:
            if sheet.view and NOBODY not in sheet.who:
                answer = context.request.get(address + sheet.path(day))
                assert answer.url.startswith(f"{address}/login/?next="), sheet.name


# Views that are no page of anybody's: other kinds of answers, and what every role is refused.
OTHER_ANSWERS = {
    *("logout", "jsi18n", "autocomplete"),
    *("access_control_staff_unlock", "access_control_staff_unlock_address"),
    *("members_member_open", "members_case_act", "members_transaction_reveal"),
    *("retention_plan_make", "retention_plan_csv"),
    *("retention_certificate_find", "retention_certificate_file", "retention_certificate_key"),
    "retention_certificate_paper",
}
REGISTERS = {"entity": "jp", "person": "person", "staff": "account", "ledgerevent": "event"}
REFUSED_TO_ALL = {
    *("access_control_entity_add", "access_control_ledgerevent_add"),
    *(f"access_control_{register}_{what}" for register in REGISTERS for what in ("history", "delete")),
}


def of_libraries():
    """Prefixes of the views that libraries register and no role may open."""
    return [
        f"{model._meta.app_label}_{model._meta.model_name}_"
        for model in admin.site._registry
        if model._meta.app_label not in OWN_APPS
    ]


def test_no_page_is_forgotten():
    views = [view for branch in admin.site.get_urls() for view in getattr(branch, "url_patterns", [branch])]
    names = {view.name for view in views if view.name and not view.name.startswith(tuple(of_libraries()))}
    assert {sheet.view for sheet in SHEETS if sheet.view} == names - OTHER_ANSWERS - REFUSED_TO_ALL


@pytest.mark.parametrize("account", ALL)
def test_what_is_refused_to_every_role(screen_of, day, account):
    screen = screen_of(account, "ja")
    for name in REFUSED_TO_ALL:
        *_app, register, what = name.split("_")
        args = [] if what == "add" else [getattr(day, REGISTERS[register], REGISTERS[register])]
        assert screen.status_of(reverse(f"admin:{name}", args=args)) == 403, name
    for prefix in of_libraries():
        for what in ("changelist", "add"):
            assert screen.status_of(reverse(f"admin:{prefix}{what}")) == 403, prefix


FAULTY = """<!DOCTYPE html><html lang="ja"><head><title>山田 花子</title></head><body><main>
<h1>会員</h1><p style="color: red">赤い</p><input id="nameless"><p class="faint">薄い</p><button>Save</button>
<table><tr><td><img src="/static/console/mark.svg" width="900" alt="印"></td></tr></table></main></body></html>"""


def test_each_fault_is_found(chromium, address):
    """The tests above can fail."""
    screen = Screen(chromium, address, language="ja", personal={"山田 花子", "03-1234-5678"})
    policy = {"content-security-policy": "default-src 'self'"}
    screen.page.route(
        "**/faulty/**",
        lambda route: route.fulfill(body=FAULTY, content_type="text/html; charset=utf-8", headers=policy),
    )
    screen.open("/faulty/?q=03-1234-5678")
    faults = "\n".join(screen.faults("light"))
    screen.context.close()
    for expected in (
        "the browser complains: Applying inline style",
        "personal value in an address or title: 山田 花子",
        "q=03-1234-5678",
        "not in Japanese: 'Save'",
        "axe, light: label",
        "wider than a phone",
    ):
        assert expected in faults
