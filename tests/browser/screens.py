"""A page of Chromium that keeps what went wrong on it, and the checks that every page must pass."""

import re
from urllib.parse import unquote

from axe_playwright_python.base import AXE_SCRIPT as AXE

from consent.demo.loading import STAFF, password_of

WCAG = {
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]},
    "resultTypes": ["violations"],
}
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 900}

# Latin letters that a Japanese page rightly holds; any other word is a label that nobody translated.
WORDS = frozenset({"CSV", "FAX", "ID", "JSON", "JST", "OS", "PDF", "PEM", "SHA", "SSL", "TLS", "Web"})
# The last of them is asked for in the browser's day.
_USERNAMES = "|".join([*(username for *_rest, username, _role in STAFF), "agent3"])
_NAMES = "|".join(name.replace(" ", r"\ ") for _number, name, *_rest in STAFF if name.isascii())
_RIGHTLY_LATIN = re.compile(
    rf"""{_NAMES}
    |[（(](?:{_USERNAMES})[）)] | ^›\ (?:{_USERNAMES})$    # an account beside its name, or as the last crumb
    |(?<![A-Z0-9])[0-9A-Z]{{4}}-[0-9A-Z]{{4}}(?![A-Z0-9])  # a case's reference
    |[0-9]{{8}}-[0-9A-Z]{{4}} | YYYYMMDD-XXXX              # a plan's, and how it looks
    |(?:run|verify)_purge(?:\ --all)? | publish_rules | leftovers  # a command
    |accept_restore\ --as\ USERNAME | destroy_again
    |U\+[0-9A-F]{{4,6}}\ [A-Z0-9 -]+                        # a character's name in Unicode
    |docs/\S+\.md                                           # a page for outsiders
    |…[0-9a-f]{{8}} | [0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}  # an id, or its end
    |[^\s<>]*＊[^\s<>]*                                   # a mask""",
    re.VERBOSE,
)
# What the page itself marks as a value, a code, the published text or another language; and columns of the lists that
# hold account names.
_COLUMNS = ("username", "owner", "who", "handles", "code", "items", "item_names", "os_user", "os_host")
_VALUES = ", ".join(
    (
        "code, .clause, .masked, .revealed-value, .username, .published, textarea, script",
        "#content > h2, [lang]:not(html):not([lang=ja])",
        *(f"td.field-{name}, th.field-{name}, .field-{name} .readonly" for name in _COLUMNS),
    )
)

_TEXTS = """(values) => {
  const texts = [document.title];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT);
  for (let node = walker.currentNode; node; node = walker.nextNode()) {
    const element = node.nodeType === Node.TEXT_NODE ? node.parentElement : node;
    if (element.closest(values)) continue;
    if (node === element) {
      for (const name of ["aria-label", "title", "placeholder", "alt"]) texts.push(element.getAttribute(name) || "");
      if (element.matches("input[type=submit], input[type=button], input[type=reset]")) texts.push(element.value);
    } else texts.push(node.data);
  }
  return texts.map(text => text.trim()).filter(text => text);
}"""

_WIDER = """() => {
  const root = document.documentElement;
  const cut = element => /auto|scroll|hidden/.test(getComputedStyle(element).overflowX);
  const scrolls = element => element && (cut(element) || scrolls(element.parentElement));
  if (root.scrollWidth <= root.clientWidth) return [];
  return [...document.body.querySelectorAll("*")]
    .filter(element => element.getBoundingClientRect().right > root.clientWidth + 1 && !scrolls(element.parentElement))
    .slice(0, 4).map(element => element.outerHTML.slice(0, 120)).concat([`${root.scrollWidth} px`]);
}"""


class Screen:
    """One tab of one account in one language."""

    def __init__(self, chromium, address, *, language, personal=frozenset()):
        self.address, self.language, self.personal = address, language, personal
        self.context = chromium.new_context(locale=language, viewport=DESK, reduced_motion="reduce")
        self.page = self.context.new_page()
        self.page.set_default_timeout(10_000)
        self.complaints, self.addresses = [], []
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.addresses.append(request.url))

    def _heard(self, message):
        # An expected refusal is told by its status; Chromium says it on the console as well.
        if message.type in {"error", "warning"} and "the server responded with a status of" not in message.text:
            self.complaints.append(message.text)

    def sign_in(self, account):
        """The start page of the account."""
        self.open("/login/")
        self.page.fill("#id_username", account)
        self.page.fill("#id_password", password_of(account))
        assert self.press("form button.button--primary") == 200
        assert self.page.url == f"{self.address}/"

    def open(self, path):
        """Load a page; its status."""
        self.complaints.clear()
        self.addresses.clear()
        return self.page.goto(self.address + path).status

    def status_of(self, path):
        """What the console answers to the account at an address, without looking at the page."""
        return self.context.request.get(self.address + path, max_redirects=0).status

    def press(self, selector):
        """Press what leads to another page; the status of that page."""
        with self.page.expect_navigation() as navigation:
            self.page.locator(selector).first.click()
        return navigation.value.status

    def faults(self, colours):
        """What is wrong with the page as it stands, in words; ``colours`` are "light" or "dark"."""
        found = [f"the browser complains: {text}" for text in self.complaints]
        found += [f"personal value in an address or title: {place}" for place in self._personal_places()]
        if self.language == "ja":
            found += [f"not in Japanese: {text!r}" for text in self.english()]
        self.page.evaluate(AXE)
        self.page.emulate_media(color_scheme=colours)
        found += [f"axe, {colours}: {text}" for text in self.violations()]
        self.page.set_viewport_size(PHONE)
        found += [f"wider than a phone: {text}" for text in self.page.evaluate(_WIDER)]
        self.page.set_viewport_size(DESK)
        self.page.emulate_media(color_scheme="light")
        return found

    def _personal_places(self):
        places = [self.page.title(), *map(unquote, self.addresses)]
        return [place for place in places if any(value in place for value in self.personal)]

    def english(self):
        """Texts with a Latin word that is neither a name, nor a value, nor a word of the list."""
        return [text for text in self.page.evaluate(_TEXTS, _VALUES) if _latin_words(text)]

    def violations(self):
        """Violations of WCAG 2.1 A and AA, as axe sees the page in its present colours."""
        found = self.page.evaluate("options => axe.run(options)", WCAG)["violations"]
        return [f"{one['id']} at {[node['html'][:160] for node in one['nodes'][:3]]}" for one in found]


def _latin_words(text):
    return [word for word in re.findall(r"[A-Za-z]{2,}", _RIGHTLY_LATIN.sub("", text)) if word not in WORDS]
