"""The ledger: one event and many are recorded alike, by whomever and from wherever."""

import pytest
from django.forms.models import model_to_dict

from access_control import requests
from access_control.ids import new_id
from access_control.ledger import acting
from access_control.models import LedgerEvent
from members.events import Event


@pytest.mark.parametrize("address", [None, "192.0.2.7", "2001:db8::7"])
def test_one_event_and_many_say_the_same_of_who_and_where(agent, address):
    subjects = [new_id(), new_id()]
    token = requests._current.set(requests.Request(new_id(), address, web=address is not None))
    try:
        with acting(agent, reason="daily_work", case=new_id()) as act:
            act.record(Event.SHOWN_MASKED, subject=subjects[0])
            act.record_each(Event.SHOWN_MASKED, subjects)
    finally:
        requests._current.reset(token)
    one, same, other = (
        model_to_dict(event, exclude=["id", "sequence", "at"])
        for event in LedgerEvent.objects.order_by("-sequence")[:3][::-1]
    )
    assert one == same
    assert same | {"subject": other["subject"]} == other
    assert (other["subject"], other["address"]) == (subjects[1], address)
