"""How a period counts (Civil Code of Japan, articles 140, 141 and 143): once in Python, once in SQL, the same.

The day of the event is not counted: the first day of a period is the day after it. A period of months or years ends
with the day before the one that answers to its first day, and where that month has no such day, with the end of the
month: three years from 28 February 2024 begin with 29 February 2024 and end with 28 February 2027. A period of days is
that many whole days. A period of months and days counts the months first, and the days after the last day of those.
"""

import calendar
import datetime

ONE_DAY = datetime.timedelta(days=1)


def over_on(event: datetime.date, months: int, days: int) -> datetime.date:
    """The day on whose 00:00 a period that counts from the day of ``event`` is over; its last day is the one before."""
    first = event + ONE_DAY
    years, month = divmod(first.year * 12 + first.month - 1 + months, 12)
    length = calendar.monthrange(years, month + 1)[1]
    answering = datetime.date(years, month + 1, min(first.day, length))
    if first.day > length:
        answering += ONE_DAY
    return answering + datetime.timedelta(days=days)


# PostgreSQL puts the function's text in the place of each call, as long as it is not STRICT and sets no search path.
FUNCTION = """
CREATE OR REPLACE FUNCTION period_over_on(event date, months integer, days integer) RETURNS date
LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN
  (event + 1 + pg_catalog.make_interval(months => months))::date
  + CASE WHEN date_part('day', event + 1 + pg_catalog.make_interval(months => months)) < date_part('day', event + 1)
         THEN 1 ELSE 0 END
  + days;
"""


def over_on_sql(event: str, rule: str = "r", verb: str = "keep") -> str:
    """The same in SQL: ``event`` is an expression of type date, ``rule`` the alias of a row of the rules."""
    return f"period_over_on({event}, {rule}.{verb}_months, {rule}.{verb}_days)"
