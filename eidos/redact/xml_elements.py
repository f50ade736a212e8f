"""Redacts XML elements in a text: all that is between the tags of ``<password>``.

Knows tags, CDATA and comments (XML 1.0); must not know where the text comes from. The text may be no XML, or end anywhere: without an end
tag, the rest of it is withheld. It takes time linear in the text.
"""

from __future__ import annotations

from eidos.model.measurement import WITHHELD
from eidos.redact.secret_names import has_credential_word

#: What has no tags inside, by what follows its "<": how it ends (XML 1.0, sections 2.5 and 2.7).
_SECTIONS = {"![CDATA[": "]]>", "!--": "-->"}


def redact_elements(text: str) -> tuple[str, int]:
    """Redact the content of XML elements whose name is a credential's.

    >>> redact_elements("<user>bob</user> <password><![CDATA[x]]></password>")
    ('<user>bob</user> <password><withheld></password>', 1)
    """
    may_be_truncated = "<![CDATA[" in text or (text.startswith("<") and not text.startswith(WITHHELD))
    if "</" not in text and not may_be_truncated:
        return text, 0
    begin, *parts = text.split("<")
    out, count, at = [begin], 0, 0
    while at < len(parts):
        part = parts[at]
        at += 1
        tag, closes, inside = part.partition(">")
        name = _tag_name(tag)
        if closes and name[:1] not in ("/", "!", "?") and not tag.endswith("/") and has_credential_word(name):
            end = _end_of_element(parts, at, name)
            content = "<".join((inside, *parts[at:end]))
            if content.strip() and content != WITHHELD:
                content, count = WITHHELD, count + 1
            part, at = f"{tag}>{content}", end
        out.append(part)
    return "<".join(out), count


def _end_of_element(parts: list[str], begin: int, element: str) -> int:
    """The index of the part with the end tag, not one in CDATA, in a comment or of an element inside; the number of parts without one."""
    start_tag = element.lower()
    end_tag = f"/{start_tag}"
    depth, section_end = 1, ""
    for index in range(begin, len(parts)):
        part = parts[index]
        if not section_end:
            section_end = next((end for start, end in _SECTIONS.items() if part.startswith(start)), "")
            tag = part.partition(">")[0]
            name = _tag_name(tag).lower()
            depth += (name == start_tag and not tag.endswith("/")) - (name == end_tag)
            if not depth:
                return index
        if section_end in part:
            section_end = ""
    return len(parts)


def _tag_name(tag: str) -> str:
    return next(iter(tag.split(None, 1)), "")
