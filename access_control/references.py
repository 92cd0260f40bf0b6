"""References that are read out on the telephone or typed from paper: one spelling for every way to write them.

The console's references have no I, L, O and U, so what looks or sounds like a digit is one.
"""

import unicodedata

_LOOKS_LIKE = str.maketrans({"O": "0", "I": "1", "L": "1"})
CASE, PLAN = (4, 4), (8, 4)


def reference(text: str, groups: tuple[int, ...]) -> str:
    """``text`` as the console writes such a reference, with a hyphen between its ``groups`` of letters; "" for none.

    Width, case, spaces, hyphens of any kind and none, O for 0, I or l for 1 make no difference.
    """
    letters = beginning(text).replace("-", "")
    if len(letters) != sum(groups) or not (letters.isascii() and letters.isalnum()):
        return ""
    parts, start = [], 0
    for length in groups:
        parts.append(letters[start : start + length])
        start += length
    return "-".join(parts)


def beginning(text: str, groups: tuple[int, ...] = ()) -> str:
    """The beginning of a reference in its one spelling, with the hyphen behind the first of ``groups``."""
    plain = unicodedata.normalize("NFKC", text).upper()
    letters = "".join(letter for letter in plain if unicodedata.category(letter)[0] in "LN" and letter != "ー")
    letters = letters.translate(_LOOKS_LIKE)
    if groups and len(letters) > groups[0]:
        return f"{letters[: groups[0]]}-{letters[groups[0] :]}"
    return letters
