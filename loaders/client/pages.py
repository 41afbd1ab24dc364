"""Pages for people, which services send where data were asked for: what they say, on one line."""

from html.parser import HTMLParser

__all__ = ["text_of_page"]

_SILENT = ("script", "style")


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._silent += tag in _SILENT

    def handle_endtag(self, tag: str) -> None:
        self._silent = max(0, self._silent - (tag in _SILENT))

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.words.extend(data.split())


def text_of_page(body: bytes, length: int = 200) -> str:
    """The beginning of what a page says to people, on one line; for messages.

    Parameters
    ----------
    body : bytes
        The page, or anything else.
    length : int, optional
        Longest text.
    """
    reader = _Text()
    try:
        reader.feed(body[:20_000].decode("utf-8", "replace"))
    except AssertionError:
        # What Python's parser makes of declarations that no HTML has; what was read until there will do.
        reader.words.append("…")
    return " ".join(reader.words)[:length] or "(nothing)"
