"""Ogg pages (RFC 3533): whether there are any, whether the last one is whole, and where one recording ends and the next begins."""

from .content import Content

HEADER = 27  # bytes of a page before its lacing values; the last one counts them
BEGINS, ENDS = 0x02, 0x04  # flags in a page's sixth byte
LONGEST_PAGE = HEADER + 255 + 255 * 255  # bytes


def ends(content: Content) -> bool:
    """Whether the last page is whole and carries the end-of-stream flag."""
    tail = content.at(max(0, content.size - 2 * LONGEST_PAGE), 2 * LONGEST_PAGE)
    page = tail[max(0, tail.rfind(b"OggS")) :]
    return len(page) >= HEADER and bool(page[5] & ENDS) and len(page) >= _length(page)


def has_pages(content: Content) -> bool:
    """Whether what begins like Ogg goes on like it: the first page begins a stream (at granule 0, as number 0), or others follow, or all is cut before."""
    head = content.head
    if content.size < HEADER:
        return True
    begins = head[4] == 0 and head[5] & BEGINS and not any(head[6:14]) and not any(head[18:22])
    return bool(begins) or b"OggS\0" in content.at(4, 2 * LONGEST_PAGE)


def is_chained(content: Content) -> bool:
    """Whether the last page belongs to another stream than the first one; cheap, and true of most chains and of videos."""
    tail = content.at(max(0, content.size - 2 * LONGEST_PAGE), 2 * LONGEST_PAGE)
    return tail[max(0, tail.rfind(b"OggS")) :][14:18] != content.head[14:18]


def links(content: Content) -> list[tuple[int, int]]:
    """First byte and end of each recording of a chain; several streams that begin together are one recording."""
    starts, at, beginning = [], 0, False
    while len(header := content.at(at, HEADER + 255)) >= HEADER and header[:4] == b"OggS":
        begins = bool(header[5] & BEGINS)
        if begins and not beginning:
            starts.append(at)
        beginning = begins
        at += _length(header)
    return list(zip(starts, [*starts[1:], content.size]))


def _length(page: bytes) -> int:
    count = page[HEADER - 1]
    lacing = page[HEADER : HEADER + count]
    return HEADER + count + sum(lacing) if len(lacing) == count else LONGEST_PAGE
