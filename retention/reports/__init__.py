"""What the officer reads of a month's destructions: a paper (HTML) and every line (CSV). Neither names anybody."""

from retention.reports.destructions import Destructions, Month, destructions_of, one_snapshot
from retention.reports.files import save
from retention.reports.lines import as_csv
from retention.reports.paper import as_html

FORMATS = ("html", "csv")

__all__ = ["FORMATS", "Destructions", "Month", "as_csv", "as_html", "destructions_of", "one_snapshot", "save"]
