"""Number 18: what is easily guessed about a person is no password (P8.A), in any notation, and the reason is said."""

import time

import pytest
from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils.translation import override

from access_control.models import Staff
from access_control.passwords import REASONS, is_number, judge
from access_control.services import change_password
from consent.demo.loading import STAFF, accounts
from tests import factories

ABOUT = ("agent", "高橋 由美", "E0103", "日本オフィス")

REFUSED = {
    "number": """1980年02月03日 昭和55年2月3日昭和55年2月3日 昭和五十五年二月三日生まれ S55.02.03S55.02.03
        Ｓ５５．２．３Ｓ５５．２．３
        showa55nen2gatsu3nichi Showa-55-02-03 令和元年五月一日
        平成二年十月十日平成二年 February-3rd,1980 3Feb1980-3Feb1980
        1980/02/03_1980/02/03 19800203-19800203 ㍼55年2月3日㍼55年 ١٩٨٠-٠٢-٠٣-١٩٨٠ 🗓1980.02.03🗓1980.02.03
        +81-90-1000-5678 ０９０－１０００－５６７８ (090)1000-5678 tel:090-1000-5678 ゼロキュウゼロ1000-5678
        hanako19800203""",
    "personal": """agentagentagentagent AGENTagentAgent! tnegatnegatnega a.g.e.n.t.a.g.e.n.t agent19800203
        高橋由美高橋由美高橋由美 高橋1234由美5678 E0103E0103E0103 e0103-e0103-e0103
        日本オフィス日本オフィス privacyconsole1""",
    "repeat": "passwordpassword aaaaaaaaaaaa abcxabcxabcx P@ssw0rdP@ssw0rd パスワードパスワード ｻｸﾗｻｸﾗｻｸﾗｻｸﾗ",
    "keyboard": """1qaz2wsx3edc4rfv 1qa2ws3ed4rf qwertyuiop@[ asdfghjkl;:] zaq12wsxcde3 poiuytrewqlk zxcvbnm,./_
        qwertyuiop[] abcdefghijklmno""",
    "common": "himitsuhimitsu tanakatarou1980 yamadahanako1980 arigatou2026! iloveyou1234 ひみつぱすわーど",
}
CASES = [(reason, password) for reason, passwords in REFUSED.items() for password in passwords.split()]
TAKEN = (
    "correct horse battery",
    "mado ni kaze 7 hikaru",
    "窓辺の象がラジオを直した",
    "ふるい靴ときいろい傘",
    "Kx9#mP2$vL7q",
    "violet-kettle-orbit-71",
    "three lamps on 2 stairs",
)


@pytest.mark.parametrize(("reason", "password"), CASES)
def test_number_18_it_is_refused_and_the_reason_said(reason, password):
    with pytest.raises(ValidationError) as refusal:
        judge(password, ABOUT)
    assert refusal.value.code == f"password_{reason}"
    assert password not in str(refusal.value)


@pytest.mark.parametrize("password", TAKEN)
def test_number_18_what_nobody_guesses_is_taken(password):
    judge(password, ABOUT)


def test_number_18_what_is_known_of_one_person_says_nothing_of_another():
    judge("wakabayashi-9-kujira", ("agent",))
    with pytest.raises(ValidationError):
        judge("wakabayashi-9", ("wakabayashi",))
    # Nothing of the first person stays behind for the second.
    judge("wakabayashi-9-kujira", ("agent",))


@pytest.mark.parametrize("text", ["may the seven seas", "窓辺の象", "juniper nine otters", ""])
def test_number_18_words_among_which_a_number_stands_are_no_number(text):
    assert not is_number(text)


@pytest.mark.parametrize(
    "text", ["a" * 4096, "a1B2" * 1024, "(4@8{[<369&#!1|0$5+7%2/" * 30, "ab" * 40, "あ" * 999, "9" * 200]
)
def test_number_18_long_input_costs_little(text):
    begun = time.process_time()
    with pytest.raises(ValidationError):
        judge(text + text, ABOUT)
    assert time.process_time() - begun < 5


def test_number_18_accounts_are_asked_for_their_owners_data(officer):
    person = factories.person(display_name="Tan Wei Ling")
    account = Staff(username="weiling.tan", person=person, role="agent")
    for password in (
        "weiling.tan-weiling",
        "TanWeiLing-TanWeiLing",
        f"{person.employee_number}" * 3,
        "シンガポール本社2026!",
    ):
        with pytest.raises(ValidationError):
            validate_password(password, account)
    validate_password("three lamps on 2 stairs", account)
    with pytest.raises(ValidationError):
        change_password(officer, password=officer.username * 4, actor=officer)
    # Django's own rules stand beside it.
    assert len(settings.AUTH_PASSWORD_VALIDATORS) == 4


def test_number_18_the_page_says_why(client, officer):
    client.force_login(officer)
    weak = "昭和55年2月3日昭和55年2月3日"
    fields = {"old_password": factories.PASSWORD, "new_password1": weak, "new_password2": weak}
    with override("en"):
        page = client.post(reverse("admin:password_change"), fields, headers={"accept-language": "en"}).content.decode()
        assert str(REASONS["number"])[:20] in page
    assert weak not in page
    assert Staff.objects.get(pk=officer.pk).check_password(factories.PASSWORD)


def test_number_18_the_demos_published_passwords_keep_the_rules_too():
    names = {username: name for _number, name, _entity, _class, username, _role in STAFF}
    for account in accounts():
        judge(account.password, (account.username, names[account.username]))
