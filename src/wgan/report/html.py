"""HTML as nested function calls, in which text is escaped unless it is markup already."""

from __future__ import annotations

from html import escape
from typing import final


@final
class Markup(str):
    """Text that is HTML already; every other string is escaped before it becomes part of a page."""

    __slots__ = ()


VOID = {"img", "input", "link", "meta"}
"""Elements of HTML that have no end."""
CLOSED = {"path", "line", "circle"}
"""Elements of SVG that have no content; unlike the others', their ends have to be written."""

Content = str | None
Attribute = str | int | float | bool | None


def tag(name: str, /, *content: Content, **attributes: Attribute) -> Markup:
    """An element.

    Args:
        name: ``p``, ``svg``, ...
        content: Text, which is escaped, or :class:`Markup`; None is left out.
        attributes: ``class_`` is ``class`` and ``aria_label`` ``aria-label``. True is an attribute without a
            value, None and False are left out.
    """
    opened = f"<{name}{''.join(_attribute(key, value) for key, value in attributes.items())}"
    if name in CLOSED:
        return Markup(f"{opened}/>")
    return Markup(f"{opened}>" if name in VOID else f"{opened}>{join(*content)}</{name}>")


def join(*content: Content) -> Markup:
    """Several pieces as one."""
    return Markup(
        "".join(part if isinstance(part, Markup) else escape(part) for part in content if part is not None)
    )


def _attribute(name: str, value: Attribute) -> str:
    if value is None or value is False:
        return ""
    written = name.rstrip("_").replace("_", "-")
    return f" {written}" if value is True else f' {written}="{escape(str(value))}"'
