"""As of when a member's data is: the newest time of a file of which something was taken. It never goes back."""

import datetime
import uuid
from collections.abc import Collection, Sequence

from django.db import connection

from access_control.copying import array
from members.models import DataAsOf


def data_as_of(members: Collection[uuid.UUID]) -> dict[uuid.UUID, datetime.datetime]:
    """Member → as of when the data is; without those of whom no file ever said it."""
    return dict(DataAsOf.objects.filter(member__in=members).values_list("member_id", "as_of"))


def is_older(written_at: datetime.datetime | None, as_of: datetime.datetime | None) -> bool:
    """Whether a row was written before what is on file. One that does not say when is older than one that does."""
    return as_of is not None and (written_at is None or written_at < as_of)


def move_on(taken: Sequence[tuple[uuid.UUID, datetime.datetime | None]]) -> None:
    """The members' data is as of the time of the row that was taken. A later time stays; the caller holds the members.

    A row that does not say when it was written moves nothing.
    """
    dated = sorted((member, at) for member, at in taken if at is not None)
    if not dated:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO members_dataasof AS held (member_id, as_of)
            SELECT * FROM unnest(%(members)s::uuid[], %(times)s::timestamptz[])
            ON CONFLICT (member_id) DO UPDATE SET as_of = excluded.as_of WHERE held.as_of < excluded.as_of
            """,
            {"members": array(member for member, _at in dated), "times": [at for _member, at in dated]},
        )
