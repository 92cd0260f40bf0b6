"""The call of the README through the pages, with Django's client: what an agent types, sees and is refused."""

import re

import pytest
from django.urls import reverse

from members.models import Case, ContactPoint, Correction
from tests.factories import RIGHT_ANSWERS


@pytest.fixture
def at(client, agent):
    client.force_login(agent)
    return client


def act(client, case, step, action, **data):
    return client.post(reverse("admin:members_case_act", args=[case.pk, step, action]), data)


def text(response):
    return re.sub(r"\s+", " ", response.content.decode())


def test_the_call_from_sign_in_to_close(client, agent, second_agent, hanako):
    client.force_login(agent)
    found = client.post(reverse("admin:members_member_find"), {"identifier": "０３（５５５０）１２３４"})
    assert "山＊ 花＊" in text(found)
    assert "hanako.yamada" not in text(found)
    opened = client.post(
        reverse("admin:members_member_open", args=[hanako.pk]), {"kind": "correction", "channel": "phone"}
    )
    case = Case.objects.get(member=hanako)
    assert opened.url == reverse("admin:members_case_change", args=[case.pk])

    wrong = act(client, case, "identity", "check", birth_date="1980-02-04", postcode="100-0001")
    page = text(client.get(wrong.url))
    assert "ha＊＊@＊＊.jp" not in page
    # The telephone is known from finding, so its digits prove nothing.
    act(client, case, "identity", "check", birth_date=RIGHT_ANSWERS["birth_date"], postcode="〒100-0001")
    page = text(client.get(reverse("admin:members_case_change", args=[case.pk])))
    assert "ha＊＊@＊＊.jp" in page
    assert "hanako.yamada@example.jp" not in page

    row = ContactPoint.objects.get(member=hanako, kind="email")
    shown = act(client, case, "look", "reveal", target=f"{row.pk}:value", purpose=3)
    assert "hanako.yamada@example.jp" in text(shown)

    act(client, case, "correction", "ask", target=f"contact.email:{row.pk}", value="hanako@example.net")
    correction = Correction.objects.get(case=case)
    act(client, case, "correction", "apply", correction=correction.pk)
    correction.refresh_from_db()
    assert correction.state == "applied"
    history = text(client.get(reverse("admin:members_member_history", args=[hanako.pk])))
    assert case.reference in history
    act(client, case, "close", "close", outcome="done")
    case.refresh_from_db()
    assert case.state == "closed"
    refused = text(act(client, case, "look", "reveal", target=f"{row.pk}:value", purpose=3))
    assert "hanako" not in refused
    assert client.get(reverse("admin:members_member_change", args=[hanako.pk])).status_code == 404


def test_a_second_agent_gets_404_on_every_address_of_the_member(client, second_agent, identified):
    client.force_login(second_agent)
    member, case = identified.member_id, identified.pk
    for name, args in (
        ("members_member_change", [member]),
        ("members_member_history", [member]),
        ("members_case_change", [case]),
    ):
        assert client.get(reverse(f"admin:{name}", args=args)).status_code == 404
    for step, action in (("look", "reveal"), ("correction", "ask"), ("close", "close"), ("identity", "check")):
        assert act(client, identified, step, action).status_code == 404


def test_the_member_page_shows_what_was_accepted(client, identified):
    client.force_login(identified.owner)
    page = client.get(
        reverse("admin:members_member_change", args=[identified.member_id]), headers={"accept-language": "en"}
    )
    assert "Accepted: version 2, 2026-10-01" in text(page)
