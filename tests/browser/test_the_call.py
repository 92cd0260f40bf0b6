"""The call of the README, as an agent has it: in Japanese, from hello to a corrected record."""

import os
import re
from pathlib import Path

import pytest
from django.utils.translation import gettext, override

from consent.demo.people import WELL_KNOWN
from tests.browser.screens import Screen

pytestmark = pytest.mark.browser

PICTURE = Path(__file__).resolve().parents[2] / "docs" / "case.png"
NEW_ADDRESS = "hanako.new@example.com"
MASKED_OLD, MASKED_NEW = "ha＊＊@＊＊.jp", "ha＊＊@＊＊.com"


@pytest.fixture
def screens(chromium, address):
    """Screens of a test's own: ``screens("agent")`` is signed in, ``screens()`` is not."""
    opened = []

    def screen(account=None, language="ja"):
        opened.append(Screen(chromium, address, language=language))
        if account:
            opened[-1].sign_in(account)
        return opened[-1]

    yield screen
    for one in opened:
        one.context.close()


def ja(sentence):
    """A sentence of the console in Japanese, however the catalogue says it today."""
    with override("ja"):
        return gettext(sentence)


def tab_to(screen, selector):
    """Press Tab until the element has the focus, as somebody does who has no mouse."""
    for _press in range(60):
        if screen.page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
        screen.page.keyboard.press("Tab")
    raise AssertionError(f"{selector} is not reached by Tab")


def enter(screen):
    """Press Enter; the status of the page it leads to."""
    with screen.page.expect_navigation() as navigation:
        screen.page.keyboard.press("Enter")
    return navigation.value.status


def fact(screen, label):
    """One item of the member on the case's page."""
    return screen.page.locator("#step-look .fact").filter(
        has=screen.page.locator("dt", has_text=re.compile(f"^{label}$"))
    )


@pytest.mark.parametrize(
    ("identifier", "second"),
    [
        ("０３－１２３４－５６７８", ""),
        ("03(1234)5678", ""),
        ("+81 3 1234 5678", ""),
        (WELL_KNOWN.login_id, ""),
        (WELL_KNOWN.email.upper(), ""),
        (WELL_KNOWN.member_number, ""),
        ("ﾔﾏﾀﾞ ﾊﾅｺ", "5678"),
        ("山田花子", "昭和55年2月3日"),
    ],
)
def test_a_caller_is_found_however_it_is_typed(screen_of, identifier, second):
    # By somebody else than the agent of the call below: what a search has told proves nothing in that agent's case.
    screen = screen_of("agent2", "ja")
    screen.open("/members/member/find/")
    screen.page.fill("#id_identifier", identifier)
    screen.page.fill("#id_second", second)
    assert screen.press("main form .button--primary") == 200
    hits = screen.page.locator("tbody tr")
    assert hits.count() == 1
    assert hits.locator(".masked").all_text_contents() == ["山＊ 花＊", "h＊", MASKED_OLD]
    shown = screen.page.inner_text("main")
    assert not [value for value in (WELL_KNOWN.name, WELL_KNOWN.email, WELL_KNOWN.login_id) if value in shown]


def test_the_call(screens, address):
    agent, other = screens(), screens("agent2")
    page = agent.page

    # 1. Sign in, find and open, with the keyboard alone.
    agent.open("/")
    tab_to(agent, "#id_username")
    page.keyboard.type("agent")
    tab_to(agent, "#id_password")
    page.keyboard.type("demo-agent-2026")
    assert enter(agent) == 200
    tab_to(agent, "a[href$='/find/']")
    assert enter(agent) == 200
    tab_to(agent, "#id_identifier")
    page.keyboard.insert_text("０３－１２３４－５６７８")
    assert enter(agent) == 200
    tab_to(agent, "select[name=kind]")
    page.keyboard.type(ja("correction"))
    tab_to(agent, "select[name=channel]")
    page.keyboard.type(ja("telephone"))
    tab_to(agent, "tbody button")
    assert enter(agent) == 200
    case = page.url
    assert page.locator("#step-identity[aria-current=step]").is_visible()
    reference = re.search(r"[0-9A-Z]{4}-[0-9A-Z]{4}", page.inner_text("h1")).group()

    # 2. What the caller says: first wrong, then right. Nothing is shown before.
    assert page.locator("#step-look .masked").count() == 0
    # The telephone by which she was found proves nothing, so its digits are not asked for.
    assert page.locator("#id_last_four").count() == 0
    check(agent, "S55.2.4", WELL_KNOWN.postcode)
    assert page.locator("#step-identity .badge--stop").text_content() == ja("no match")
    assert page.locator("#step-identity .badge--ok").count() == 0
    assert page.locator("#step-look .masked").count() == 0
    check(agent, "S55.2.3", WELL_KNOWN.postcode)
    assert page.locator("#step-identity.is-done").is_visible()

    # 3. Masked; one item in clear, on this page only.
    mail = fact(agent, ja("e-mail address"))
    assert mail.locator(".masked").text_content() == MASKED_OLD
    assert agent.press(f"#step-look button[aria-label$='{ja('e-mail address')}']") == 200
    assert page.locator(".revealed-value").all_text_contents() == [WELL_KNOWN.email]
    page.goto(case)
    assert WELL_KNOWN.email not in page.content()
    agent.press("a[href$='/history/']")
    history = page.url
    page.go_back()
    agent.press(".page-actions a:not([href$='/history/'])")
    member = page.url
    assert WELL_KNOWN.email not in page.content()
    page.goto(case)

    # 4. Nobody else sees any of it, on any address that the first agent came by.
    token = other.page.locator("[name=csrfmiddlewaretoken]").first.get_attribute("value")
    for visited in (case, member, history):
        assert other.context.request.get(visited).status == 404
    for act in ("identity/check", "look/reveal", "correction/ask", "correction/apply", "close/close", "case/note"):
        asked = {"form": {"csrfmiddlewaretoken": token}, "headers": {"referer": address}}
        assert other.context.request.post(f"{case}{act}/", **asked).status == 404
        assert other.context.request.get(f"{case}{act}/").status == 404

    # 5. Another address is asked for: suspended at once, then applied.
    page.select_option(
        "#id_target", value=page.locator("#id_target option[value^='contact.email:']").get_attribute("value")
    )
    page.fill("#id_value", NEW_ADDRESS)
    assert agent.press("#step-correction form.form-grid button") == 200
    assert mail.locator(".badge--wait").text_content() == ja("suspended")
    assert page.locator("#step-correction[aria-current=step]").is_visible()
    if os.environ.get("CONSOLE_SCREENSHOTS") == "1":
        page.screenshot(path=PICTURE, full_page=True)
    assert agent.press("#step-correction form[action$='/apply/'] button") == 200
    assert page.locator("#step-correction .badge--ok").text_content() == ja("applied")
    assert mail.locator(".badge--wait").count() == 0
    assert mail.locator(".masked").text_content() == MASKED_NEW
    assert page.locator("#step-tell tbody tr").count() == 2

    # 6. The history says who, when, why and in which case, masked before and after.
    page.goto(history)
    change = page.locator(".timeline > li").first
    assert change.locator("strong").text_content() == "佐藤 恵"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d", change.locator("time").text_content())
    assert change.locator(".timeline-change .masked").all_text_contents() == [MASKED_OLD, MASKED_NEW]
    assert ja("the member asked") in change.locator(".why").text_content()
    assert change.locator(f"a[href='{case.removeprefix(address)}']").text_content() == reference
    assert not [value for value in (WELL_KNOWN.email, NEW_ADDRESS) if value in page.content()]

    # 7. Closed: nothing is shown, and a page that was left open reveals nothing either.
    page.goto(case)
    left_open = page.context.new_page()
    left_open.goto(case)
    page.select_option("#id_outcome", "done")
    assert agent.press("#step-close form button") == 200
    assert page.locator("#step-close.is-done").is_visible()
    assert page.locator(".masked, #step-look button").count() == 0
    with left_open.expect_navigation() as navigation:
        left_open.locator("#step-look button").first.click()
    assert navigation.value.status == 200
    assert left_open.locator(".refusal, .message-warning").count() == 1
    assert left_open.locator(".masked, .revealed-value").count() == 0
    for gone in (member, history):
        assert agent.status_of(gone.removeprefix(address)) == 404
    assert agent.complaints == []


def check(agent, birth_date, postcode):
    """Compare what the caller says."""
    agent.page.fill("#id_birth_date", birth_date)
    agent.page.fill("#id_postcode", postcode)
    assert agent.press("#step-identity form button") == 200


def test_the_language_is_switched_and_stays(screens):
    screen = screens("agent")
    screen.press(".languages [lang=en]")
    assert screen.page.get_attribute("html", "lang") == "en"
    screen.open("/members/case/")
    assert screen.page.inner_text("h1") == "Cases"
    screen.press("form[action$='/logout/'] button")
    screen.sign_in("agent2")
    assert screen.page.get_attribute("html", "lang") == "en"
    screen.press(".languages [lang=ja]")
    assert screen.page.inner_text("h1") == ja("Start")


def test_the_colours_are_switched_and_stay(screens):
    screen = screens("agent")

    def paper():
        return screen.page.evaluate("getComputedStyle(document.body).backgroundColor")

    as_the_system = paper()
    themes = []
    for _press in range(3):
        screen.page.click(".theme-toggle")
        themes.append((screen.page.get_attribute("html", "data-theme"), paper()))
    colours = dict(themes)
    assert set(colours) == {"auto", "light", "dark"}
    assert colours["auto"] == colours["light"] == as_the_system != colours["dark"]
    while screen.page.get_attribute("html", "data-theme") != "dark":
        screen.page.click(".theme-toggle")
    screen.open("/members/case/")
    assert paper() == colours["dark"]
