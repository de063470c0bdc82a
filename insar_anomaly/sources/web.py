"""Files behind the index pages of a web server: what a page lists, what HEAD says of a file, reading by ranges.

fsspec's own ``http`` lists a page's links too. It keeps neither size nor time of them, takes a server that does not
answer for a file that does not exist, and cannot read a file by parts where the server sends whole files only. `SYSTEM` has
the methods of a file system of fsspec that `sources.archive` uses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from html.parser import HTMLParser
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote, unquote, urljoin, urlsplit

from insar_anomaly.sources.entries import Details
from insar_anomaly.sources.web_file import WHOLE_BYTES, WebFile, asked, body

_AT_A_TIME = 16
_PAGE_BYTES = 32 * 2**20
_INDEX = "index.html"


_BUCKET = 'write url = "s3://<bucket>/<prefix>", and under [storage] its endpoint_url; anonymous = true where it is public'
"""What to write in the place of a bucket's own address."""


class _Links(HTMLParser):
    """The targets of a page's links, and the address that they start from where the page names one."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.base: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep where a link leads."""
        targets = [value for name, value in attrs if name == "href" and value]
        if tag == "a":
            self.found += targets
        elif tag == "base" and targets:
            self.base = targets[0]


def links(page: str, url: str) -> list[str]:
    """Names of what an index page lists, escaped as a URL needs it; a folder's ends with a slash.

    Links may be relative, absolute, or lead to a folder's own ``index.html``, as static sites have them. Links to folders
    above, to other servers, and those that only sort the page are left out.

    Parameters
    ----------
    page : HTML
    url : address of the page
    """
    parser = _Links()
    parser.feed(page)
    here = urlsplit(url.removesuffix(_INDEX) if url.endswith(f"/{_INDEX}") else url)
    above = [unquote(one) for one in _parts(here.path)]
    names: dict[str, None] = {}
    for target in parser.found:
        try:
            whole = urlsplit(urljoin(urljoin(f"{here.geturl().rstrip('/')}/", parser.base or ""), target))
        except ValueError:  # no address at all
            continue
        if whole.hostname == here.hostname and not (whole.query or whole.fragment):
            names |= dict.fromkeys(_below(above, whole.path))
    return sorted(names)


def _below(above: list[str], path: str) -> list[str]:
    """The name of what lies directly in a folder, `above`; nothing where the path leads elsewhere."""
    folder, raw = path.endswith("/"), _parts(path)
    if len(raw) == len(above) + 2 and raw[-1] == _INDEX:
        folder, raw = True, raw[:-1]
    inside = len(raw) == len(above) + 1 and [unquote(part) for part in raw[:-1]] == above
    if not inside or raw[-1] in (".", "..", _INDEX):
        return []
    name = quote(unquote(raw[-1]))  # servers escape more or less of a name: its parts are compared
    return [f"{name}/" if folder else name]


def _parts(path: str) -> list[str]:
    return [one for one in PurePosixPath(path).parts if one.strip("/")]


def _described(url: str, headers: Mapping[str, str]) -> Details:
    """What fsspec would say of a file, from the headers of an answer."""
    length, when = headers.get("content-length", ""), headers.get("last-modified", "")
    try:
        modified: datetime | None = parsedate_to_datetime(when) if when else None
    except ValueError:
        modified = None
    if modified and modified.tzinfo is None:
        modified = modified.replace(tzinfo=UTC)
    out = {"name": url, "type": "file", "size": int(length) if length.isdigit() else None, "LastModified": modified}
    return out | ({"ETag": headers["etag"]} if headers.get("etag") else {})


class System:
    """Web servers as a file system: paths are URLs."""

    protocol = ("http", "https")

    def ls(self, path: str, detail: bool = True) -> list[Any]:
        """What the index page of a folder lists; sizes and times are not asked for."""
        url = f"{path.rstrip('/')}/"
        with asked("GET", url) as answer:
            kind = answer.headers.get("content-type", "text/html")
            page = body(answer, url, _PAGE_BYTES).decode("utf-8", "replace") if "html" in kind or "xml" in kind else ""
            if "<ListBucketResult" in page:
                raise ConnectionError(f"{url} answers with the listing of a bucket, not with an index page: {_BUCKET}")
            names = links(page, str(answer.url))
        entries = [
            {"name": f"{url}{name.rstrip('/')}", "type": "directory" if name.endswith("/") else "file"} for name in names
        ]
        return entries if detail else [one["name"] for one in entries]

    def info(self, path: str) -> Details:
        """Size, ETag and time of a file, from HEAD; from the begin of GET where the server does not answer that."""
        with asked("HEAD", path, allowed=(405, 501)) as answer:
            if answer.status_code < 400:
                return _described(path, answer.headers)
        with asked("GET", path) as answer:
            return _described(path, answer.headers)

    def walked(self, folder: str, levels: int, needed: Callable[[str], bool]) -> tuple[list[Details], list[str]]:
        """Files at most `levels` below a folder, several pages at a time, and what could not be listed.

        A file whose name is needed is described with `info`, the others have no size. A file that is listed and is not there
        is described so, too: it belongs to a pair that is named. None where there is no such folder.
        """
        files: list[Details] = []
        unlisted: list[str] = []
        todo = [folder]
        with ThreadPoolExecutor(_AT_A_TIME, "insar-anomaly list") as pool:
            for level in range(levels):
                found = [one for page in pool.map(lambda url: self._page(url, unlisted), todo) for one in page]
                files += [one for one in found if one["type"] == "file"]
                todo = [one["name"] for one in found if one["type"] == "directory"] if level + 1 < levels else []
            return list(pool.map(lambda one: self._known(one, needed), files)), unlisted

    def _page(self, url: str, unlisted: list[str]) -> list[Details]:
        try:
            return self.ls(url)
        except FileNotFoundError:
            return []
        except PermissionError as problem:
            unlisted.append(f"{problem}; the server has to list it")
            return []

    def _known(self, one: Details, needed: Callable[[str], bool]) -> Details:
        if not needed(PurePosixPath(one["name"]).name):
            return one
        try:
            return self.info(one["name"])
        except (FileNotFoundError, PermissionError) as problem:
            return one | {"ETag": f"not there: {type(problem).__name__}"}

    def exists(self, path: str) -> bool:
        """True where there is such a file or folder."""
        try:
            self.info(path)
        except (FileNotFoundError, PermissionError):
            return False
        return True

    isfile = exists
    """A page and a file cannot be told apart by their address."""

    def cat_file(self, path: str, start: int = 0, end: int | None = None) -> bytes:
        """Bytes of a file."""
        if end is not None:
            with self.open(path) as file:
                file.seek(start)
                return bytes(file.read(end - start))
        with asked("GET", path) as answer:
            return body(answer, path, WHOLE_BYTES)[start:]

    def open(self, path: str, mode: str = "rb", block_size: int = 2**18, **_: Any) -> WebFile:
        """A file for reading by ranges; options of fsspec's caches are not used."""
        assert mode == "rb"
        return WebFile(path, self.info(path), block_size)

    def invalidate_cache(self, path: str | None = None) -> None:
        """Nothing is kept."""

    def unstrip_protocol(self, path: str) -> str:
        """The path: it is a URL."""
        return path

    def _strip_protocol(self, path: str) -> str:
        return path


SYSTEM: Any = System()
"""The file system of every ``http(s)://`` URL."""
