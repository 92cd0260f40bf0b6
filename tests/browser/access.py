"""Requests for access of the browser's day, and links by which passwords are set."""

import datetime

from access_control.access_services import agree, ask_hire, ask_link, ask_move
from access_control.models import Entity, Staff

# Requests that the officer agrees to, one for every way to look at the page of a link.
TO_AGREE = 4


def requests():
    """(how a request stands → its id, the token of an open link)."""
    administrator, officer, agent = (
        Staff.objects.get(username=name) for name in ("administrator", "officer", "agent2")
    )

    def hire(number, name, username):
        return ask_hire(
            number,
            display_name=name,
            entity=Entity.objects.get(code="jp"),
            access_class="direct",
            joined_on=datetime.date(2026, 4, 1),
            username=username,
            role="agent",
            actor=administrator,
        )

    done = hire("E0901", "渡辺 翔", "agent3")
    token = agree(done, actor=officer).token
    found = {
        "done": done,
        "hire": hire("E0902", "中村 葵", "agent4"),
        "move": ask_move(agent.person, access_class="needed", role="records", actor=administrator),
        "link": ask_link(agent, actor=administrator),
    }
    for number in range(TO_AGREE):
        found[f"agree-{number}"] = hire(f"E091{number}", f"小林 {number}", f"agent5{number}")
    return {name: request.pk for name, request in found.items()}, token
