"""docs/codes.md is what the code says."""

from config.codes import PAGE, page


def test_the_page_of_codes_is_up_to_date():
    assert PAGE.read_text() == page(), "Run: python -m config.codes"
