"""Who writes to the members of each site: what the setting NOTICE_SENDERS must say, asked when the console starts."""

import json
import re

# The sites whose members are written to, by the code of their entity.
SITES = ("jp", "kr", "sg")
PARTS = ("site", "window", "telephone", "mail")
_ONE_LINE = re.compile(r"\S(.*\S)?")
_MAIL = re.compile(r"[^\s@<>,]+@[^\s@<>,]+")


def read_senders(text: str) -> dict[str, dict[str, str]]:
    """Entity → site, window, telephone and mail. Raises ValueError with a sentence that names what is wrong."""
    try:
        said = json.loads(text)
    except ValueError:
        raise ValueError("it must be JSON, as .env.example shows it") from None
    if not isinstance(said, dict) or set(said) != set(SITES):
        raise ValueError(f"it must have an entry for each of {', '.join(SITES)}, and no other")
    for entity, sender in said.items():
        if not isinstance(sender, dict) or set(sender) != set(PARTS):
            raise ValueError(f"{entity} must have {', '.join(PARTS)}, and nothing else")
        for part, value in sender.items():
            shape, so = (_MAIL, "a mail address") if part == "mail" else (_ONE_LINE, "one line of text")
            if not isinstance(value, str) or not shape.fullmatch(value):
                raise ValueError(f"{entity}.{part} must be {so}")
    return said
