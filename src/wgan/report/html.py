"""HTML from nested function calls; text is escaped unless it is :class:`Markup`."""

from __future__ import annotations

from html import escape
from typing import final


@final
class Markup(str):
    """Text that is HTML already; every other string is escaped before it becomes part of a page."""

    __slots__ = ()


VOID = {"img", "input", "link", "meta"}
"""HTML elements without an end tag."""
CLOSED = {"path", "line", "circle"}
"""SVG elements without content, which need ``/>``."""

Content = str | None
Attribute = str | int | float | bool | None


def tag(name: str, /, *content: Content, **attributes: Attribute) -> Markup:
    """An element.

    Args:
        name: ``p``, ``svg``, ...
        content: Text, which is escaped, or :class:`Markup`; None is left out.
        attributes: ``class_`` stands for ``class`` and ``aria_label`` for ``aria-label``. True is an
            attribute without a value; None and False are left out.
    """
    opened = f"<{name}{''.join(_attribute(key, value) for key, value in attributes.items())}"
    if name in CLOSED:
        return Markup(f"{opened}/>")
    return Markup(f"{opened}>" if name in VOID else f"{opened}>{join(*content)}</{name}>")


def join(*content: Content) -> Markup:
    """Concatenate pieces of content."""
    return Markup(
        "".join(part if isinstance(part, Markup) else escape(part) for part in content if part is not None)
    )


def _attribute(name: str, value: Attribute) -> str:
    if value is None or value is False:
        return ""
    key = name.rstrip("_").replace("_", "-")
    return f" {key}" if value is True else f' {key}="{escape(str(value))}"'
