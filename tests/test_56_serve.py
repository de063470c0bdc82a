"""Links in notices: signed, for one flag, for some days; opening one changes nothing, a POST acts."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import sqlite3
import subprocess
import threading
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from html import unescape
from re import DOTALL, findall, search
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from installation import RISING, command
from outbox import webhook
from test_46_stored_forms import mistakes, schema

from insar_anomaly import pipeline
from insar_anomaly.config.load import load
from insar_anomaly.errors import ConfigError, StoreFailed
from insar_anomaly.ledger.people_rows import ActKind, ActRow
from insar_anomaly.names import FlagName
from insar_anomaly.notify.links import BadLink, Links, Purpose
from insar_anomaly.pipeline.redraw import picture_of
from insar_anomaly.serve import pages, server
from insar_anomaly.serve.desk import language_of

SECRET = "0123456789abcdef" * 2
NOW = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
FLAG = FlagName(RISING, 1)
LINKS = Links("https://screening.example.org/flags/", SECRET, 14)


def query(link: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(link).query))


# -- links -----------------------------------------------------------------------------------------------------------


@given(st.integers(100000, 999999), st.integers(1, 999), st.integers(0, 14 * 86400 - 1))
def test_a_link_is_read_as_it_was_made_until_it_expires(gvp, number, seconds):
    flag = FlagName(f"{gvp}/001A_00001_010101", number)
    link = LINKS.of(flag, NOW)
    assert link.startswith("https://screening.example.org/flags/flag?")
    assert LINKS.read(query(link), NOW + timedelta(seconds=seconds)) == flag
    with pytest.raises(BadLink, match="has expired on 2026-03-16"):
        LINKS.read(query(link), NOW + timedelta(days=14, seconds=2))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"flag": f"{RISING}:2"}, "not made by this installation"),
        ({"expires": "9999999999"}, "not made by this installation"),
        ({"signature": "0" * 64}, "not made by this installation"),
        ({"signature": "ü"}, "not made by this installation"),
        ({"expires": ""}, "incomplete"),
        ({"expires": "-1"}, "incomplete"),
        ({"expires": "9" * 40}, "incomplete"),
    ],
)
def test_a_changed_link_is_refused(change, words):
    with pytest.raises(BadLink, match=words):
        LINKS.read(query(LINKS.of(FLAG, NOW)) | change, NOW)


def test_another_secret_reads_nothing_and_a_short_one_is_refused():
    with pytest.raises(BadLink):
        Links("https://x", "another secret of 32 characters!!", 14).read(query(LINKS.of(FLAG, NOW)), NOW)
    with pytest.raises(ConfigError, match="has 5 characters: give it 32 or more"):
        Links("https://x", "short", 14)


# -- the endpoint ----------------------------------------------------------------------------------------------------


def drawing(place):
    """Draws the figures of an installation."""

    def draw(flag, language):
        with pipeline.open_installation(load(place.config)) as s:
            return picture_of(s, flag, language)

    return draw


@contextmanager
def serving(place, **more):
    """The endpoint of an installation, at its address."""
    with server(f"sqlite:///{place.folder}/ledger.sqlite", LINKS, host="127.0.0.1", port=0, **more) as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        try:
            yield made.server_address[:2]
        finally:
            made.shutdown()
            thread.join()


def ask(address, method, path, form=None, **headers):
    with closing(http.client.HTTPConnection(*address, timeout=20)) as connection:
        body = None if form is None else urlencode(form)
        connection.request(method, path, body, {"Content-Type": "application/x-www-form-urlencoded"} | headers)
        answer = connection.getresponse()
        content = answer.read()
        text = content if answer.headers["Content-Type"] == "image/png" else content.decode()
        return answer.status, dict(answer.getheaders()), text


def post(address, path, form, **headers):
    """What a browser shows after a form: the page that the answer leads to."""
    status, answered, content = ask(address, "POST", path, form, **headers)
    assert (status, content) == (303, "")
    assert not answered["Location"].startswith(("/", "http"))  # a path of the web server in front of it stays in the address
    return ask(address, "GET", f"/{answered['Location']}", **headers)


def link(days_ago=0, **how):
    made = urlsplit(LINKS.of(FLAG, datetime.now(UTC) - timedelta(days=days_ago), **how))
    return f"{made.path.removeprefix('/flags')}?{made.query}"


def test_opening_a_link_shows_the_flag_and_changes_nothing(flagged):
    with serving(flagged) as address:
        for _ in range(3):
            status, headers, page = ask(address, "GET", link())
        head = ask(address, "HEAD", link())
    assert status == 200
    assert f"Screening flag {FLAG}" in page
    assert "Nobody has done anything yet" in page
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'sha256-")
    assert "script" not in page
    [style] = findall("<style>(.*?)</style>", page, DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"'sha256-{digest}'" in headers["Content-Security-Policy"]
    assert (headers["Referrer-Policy"], headers["Cache-Control"]) == ("no-referrer", "no-store")
    assert (head[0], head[2]) == (200, "")
    assert flagged.rows("select * from act") == []


def test_the_form_of_the_page_acts_once_it_is_sent(flagged):
    with serving(flagged) as address:
        _, _, page = ask(address, "GET", link())
        action = unescape(search(r'action="([^"]+)"', page)[1])
        until = (datetime.now(UTC) + timedelta(days=7)).date()
        for form in (
            {"act": "ack", "by": "Ada", "note": "on my way"},
            {"act": "label", "by": "Ada", "label": "volcanic"},
            {"act": "mute", "by": "Bo", "until": str(until), "note": "field work"},
        ):
            status, _, page = post(address, f"/{action}", form)
            assert status == 200
    assert "Ada acknowledged: on my way" in page
    assert "Ada labelled as volcanic" in page
    assert f"<dt>Muted until</dt><dd>{until}</dd>" in page
    assert flagged.rows("select state from episode where stack = ?", RISING) == [("acknowledged",)]
    assert flagged.rows("select stack, episode, kind from act") == [
        (RISING, 1, "acknowledged"),
        (RISING, 1, "labelled"),
        ("990002", None, "muted"),
    ]


def test_whoever_loads_the_page_again_after_a_form_does_nothing_twice(flagged):
    with serving(flagged) as address:
        form = {"act": "ack", "by": "Ada"}
        _, answered, _ = ask(address, "POST", link(), form)
        pages_ = [ask(address, "GET", f"/{answered['Location']}")[2] for _ in range(3)]
        odd = ask(address, "GET", f"{link()}&done=2")[2], ask(address, "GET", f"{link()}&done=x")[2]
    assert all(search(r"Written down: \S+ \S+ UTC Ada acknowledged", page) for page in pages_)
    assert not any("Written down" in page for page in odd)
    assert flagged.rows("select by from act") == [("Ada",)]


def test_the_page_of_a_muted_flag_says_by_whom_and_takes_the_mute_back(flagged):
    until = (datetime.now(UTC) + timedelta(days=7)).date()
    with serving(flagged) as address:
        assert 'value="unmute"' not in ask(address, "GET", link())[2]
        _, _, page = post(address, link(), {"act": "mute", "by": "Bo", "until": str(until), "note": "field work"})
        assert search(rf"<dt>Muted by</dt><dd>Bo \(990002, \S+ \S+ UTC, until {until}\): field work</dd>", page)
        assert 'value="unmute"' in page
        _, _, page = post(address, link(), {"act": "unmute", "by": "Ada"})
        assert "Muted" not in page
        assert 'value="unmute"' not in page
        with flagged.opened() as (s, _):
            s.ledger.record_act(ActRow("99*", None, ActKind.MUTED, "Cy", datetime.now(UTC), until=until))
        _, _, page = ask(address, "GET", link())
    assert f"<dt>Muted until</dt><dd>{until}</dd>" in page
    assert 'value="unmute"' not in page  # the region is other people's too
    assert "insar-anomaly unmute 99* --by NAME" in page
    assert flagged.rows("select stack, kind, by from act") == [
        ("990002", "muted", "Bo"),
        ("990002", "unmuted", "Ada"),
        ("99*", "muted", "Cy"),
    ]


@pytest.mark.parametrize(
    ("method", "path", "form", "status", "words"),
    [
        ("GET", "/", None, 404, "Open the link of a notice"),
        ("GET", "/flag", None, 403, "incomplete"),
        ("POST", "/flag?flag=x&expires=1&signature=y", {"act": "ack", "by": "A"}, 403, "not made by this installation"),
        ("POST", None, {"act": "ack", "by": " "}, 400, "give your name"),
        ("POST", None, {"act": "delete", "by": "A"}, 400, "this form is incomplete"),
        ("POST", None, {"act": "label", "by": "A", "label": "eruption"}, 400, "this form is incomplete"),
        ("POST", None, {"act": "mute", "by": "A", "until": "2020-01-01"}, 400, "is not after today"),
        ("POST", None, {"act": "mute", "by": "A", "until": "soon"}, 400, "soon"),
        (
            "POST",
            None,
            {"act": "mute", "by": "A", "until": "9999-12-31"},
            400,
            "more than 5 years from now: give a day",
        ),
        ("POST", None, {"act": "unmute", "by": "A"}, 400, "neither this stack nor this volcano is muted"),
        ("POST", None, {"act": "ack", "by": "A", "note": "x" * 20000}, 400, "the form is too long"),
    ],
)
def test_what_is_not_one_of_our_forms_does_nothing(method, path, form, status, words, flagged):
    with serving(flagged) as address:
        found, _, page = ask(address, method, path or link(), form)
        expired = ask(address, "POST", link(days_ago=15), {"act": "ack", "by": "A"})
    assert found == status
    assert words in unescape(page)
    assert (expired[0], "has expired" in expired[2]) == (403, True)
    assert flagged.rows("select * from act") == []


def test_names_and_notes_are_escaped(flagged):
    with serving(flagged) as address:
        form = {"act": "ack", "by": "<script>alert(1)</script>", "note": '"><img src=x>'}
        _, _, page = post(address, link(), form)
    assert "<script>" not in page
    assert "<img" not in page
    assert "&lt;script&gt;" in page
    assert "<b>" not in pages.message("link", "gone", "en", "<b>")


# -- language --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accepted", "named", "language"),
    [
        ("", None, "en"),
        ("es", None, "es"),
        ("es-EC,es;q=0.9,en;q=0.8", None, "es"),
        ("fr, en;q=0.4, es;q=0.7", None, "es"),
        ("fr,de;q=0.5", None, "en"),
        ("es;q=0", None, "en"),
        ("es;q=high", None, "en"),
        ("es", "en", "en"),
        ("en", "es", "es"),
        ("en", "../es", "en"),
    ],
)
def test_the_language_is_that_of_the_link_else_the_first_of_the_browsers(accepted, named, language):
    assert language_of({} if named is None else {"language": named}, accepted) == language


def test_a_spanish_link_shows_and_acts_in_spanish(flagged):
    with serving(flagged, volcanoes={990002: "Cono Naciente"}) as address:
        _, _, page = ask(address, "GET", link(language="es"), **{"Accept-Language": "en"})
        action = unescape(search(r'action="([^"]+)"', page)[1])
        _, _, done = post(address, f"/{action}", {"act": "label", "by": "Ada", "label": "volcanic"})
        _, _, wrong = ask(address, "POST", f"/{action}", {"act": "ack", "by": ""})
        other = unescape(search(r'hreflang="en" href="([^"]+)"', page)[1])
        _, _, english = ask(address, "GET", f"/{other}", **{"Accept-Language": "es"})
        gone = ask(address, "GET", "/flag", **{"Accept-Language": "es"})
    assert '<html lang="es">' in page
    assert "<h1>Cono Naciente</h1>" in page
    assert f"Aviso de cribado {FLAG}" in page
    assert "Nadie ha hecho nada todavía." in page
    assert "<dd>en aumento</dd>" in page
    assert search(r"Queda anotado: \S+ \S+ UTC Ada etiquetó como volcánico", done)
    assert "escriba su nombre" in wrong
    assert "Ada labelled as volcanic" in english
    assert (gone[0], "este enlace está incompleto" in gone[2]) == (403, True)


# -- figures ---------------------------------------------------------------------------------------------------------


def test_the_figure_of_any_flag_is_drawn_for_its_link_once_and_the_page_shows_it(flagged):
    """Also of one that was only noted: no night has drawn it."""
    with closing(sqlite3.connect(flagged.folder / "ledger.sqlite")) as database, database:
        database.execute("update episode set state = 'noted', told = null")
    drawn = []

    def draw(flag, language):
        drawn.append((flag, language))
        return drawing(flagged)(flag, language)

    with serving(flagged, draw=draw) as address:
        _, headers, page = ask(address, "GET", link())
        place = unescape(search(r'<img src="([^"]+)"', page)[1])
        status, own, picture = ask(address, "GET", f"/{place}")
        again = ask(address, "GET", link(purpose=Purpose.FIGURE))
        head = ask(address, "HEAD", f"/{place}")
    assert "<dd>noted</dd>" in page
    assert "img-src 'self'" in headers["Content-Security-Policy"]
    assert (status, own["Content-Type"], own["X-Content-Type-Options"]) == (200, "image/png", "nosniff")
    assert own["Content-Security-Policy"] == "default-src 'none'; sandbox; frame-ancestors 'none'"
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    assert again[2] == picture
    assert (head[0], head[1]["Content-Length"], head[2]) == (200, str(len(picture)), b"")
    assert drawn == [(FLAG, "en")]
    assert flagged.rows("select * from act") == []


def test_a_link_to_a_figure_lets_nobody_act_and_one_to_a_page_is_none_to_a_figure(flagged):
    figure, page = urlsplit(link(purpose=Purpose.FIGURE)).query, urlsplit(link()).query
    with serving(flagged, draw=lambda flag, language: b"\x89PNG") as address:
        assert ask(address, "POST", f"/flag?{figure}", {"act": "ack", "by": "Eve"})[0] == 403
        assert ask(address, "GET", f"/flag?{figure}")[0] == 403
        assert ask(address, "GET", f"/figure?{page}")[0] == 403
        assert ask(address, "POST", f"/figure?{figure}", {"act": "ack", "by": "Eve"})[0] == 404
        assert ask(address, "GET", link(days_ago=15, purpose=Purpose.FIGURE))[0] == 403
        for other in ("/figure/../ledger.sqlite", "/figures/990002.png", "/ledger.sqlite", "/figure%2f..%2fa", "/flag/"):
            assert ask(address, "GET", f"{other}?{figure}")[0] == 404
    assert flagged.rows("select * from act") == []


@pytest.mark.parametrize("named", ["../../etc/passwd:1", "990002/../../x:1", "990002/%2e%2e:1", "990002/x/y/z:1"])
def test_a_flag_of_another_name_is_never_a_file(named, flagged):
    """Even one that is signed: the name is looked up in the ledger, and opens nothing."""
    reference = LINKS.reference(named, 2**40 // 300, Purpose.FIGURE)
    with serving(flagged, draw=lambda flag, language: b"\x89PNG") as address:
        assert ask(address, "GET", f"/{reference}")[0] == 403


def test_without_its_data_a_flag_has_a_page_and_no_figure(flagged):
    def draw(flag, language):
        raise StoreFailed("the store is gone")

    with serving(flagged, draw=draw) as address:
        assert ask(address, "GET", link())[0] == 200
        status, headers, page = ask(address, "GET", link(purpose=Purpose.FIGURE, language="es"))
    assert (status, headers["Content-Type"]) == (404, "text/html; charset=utf-8")
    assert "Este aviso no se puede dibujar ahora" in page
    with serving(flagged) as address:
        assert "<img" not in ask(address, "GET", link())[2]
        assert ask(address, "GET", link(purpose=Purpose.FIGURE))[0] == 404


def test_a_webhook_gets_a_link_to_the_figure_and_none_to_act(flagged, hook, monkeypatch):
    monkeypatch.setenv("LINKS_SECRET", SECRET)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    url, came = hook
    with closing(sqlite3.connect(flagged.folder / "ledger.sqlite")) as database, database:
        database.execute("update notice set channel = 'webhook', delivered_at = null")
    text = flagged.config.read_text().partition("[[channel]]")[0]
    served = '[serve]\nurl = "https://screening.example.org"\nsecret_env = "LINKS_SECRET"\n'
    flagged.config.write_text(f"{text}\n{webhook(url)}\n{served}")
    with flagged.opened("notify") as (s, run):
        pipeline.deliver(s, run)
    [(_, body)] = came
    data = json.loads(body)["data"]
    address = urlsplit(data["figure"]["url"])
    assert (address.scheme, address.netloc, address.path) == ("https", "screening.example.org", "/figure")
    assert Links("https://x", SECRET, 14).read(query(data["figure"]["url"]), datetime.now(UTC), Purpose.FIGURE) == FLAG
    with pytest.raises(BadLink):
        Links("https://x", SECRET, 14).read(query(data["figure"]["url"]), datetime.now(UTC))
    assert mistakes(schema("notify", "notice"), data) == []


def test_a_notice_has_a_link_where_somebody_serves_it_and_the_payload_has_none(fitted, monkeypatch):
    monkeypatch.setenv("LINKS_SECRET", SECRET)
    text = fitted.config.read_text()
    fitted.config.write_text(f'{text}\n[serve]\nurl = "https://screening.example.org"\nsecret_env = "LINKS_SECRET"\n')
    fitted.nightly()
    [path] = fitted.notices
    told = path.read_text()
    found = search(
        r"https://screening\.example\.org/flag\?[^\s\"\\]+",
        "".join(p.read_text() for p in path.parent.glob("*.txt")) or told,
    )
    assert found
    assert Links("https://x", SECRET, 14).read(query(found[0]), datetime.now(UTC)) == FLAG
    assert "link" not in json.loads(told)["payload"]
    [(payload,)] = fitted.rows("select payload from notice")
    assert "screening.example.org" not in payload


def test_the_command_says_where_it_listens_and_what_it_lacks(flagged, monkeypatch):
    done = subprocess.run(command("-c", flagged.config, "serve"), capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "[serve] url is not set" in done.stderr) == (2, True)
    monkeypatch.setenv("LINKS_SECRET", SECRET)
    text = flagged.config.read_text()
    flagged.config.write_text(f'{text}\n[serve]\nurl = "http://127.0.0.1"\nsecret_env = "LINKS_SECRET"\n')
    words = command("-c", flagged.config, "serve", "--port", "0")
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as running:
        try:
            port = int(search(r":(\d+);", running.stderr.readline())[1])
            assert "<h1>Rising Cone</h1>" in ask(("127.0.0.1", port), "GET", link())[2]
            assert ask(("127.0.0.1", port), "GET", link(purpose=Purpose.FIGURE))[2].startswith(b"\x89PNG")
        finally:
            running.terminate()
            running.communicate(timeout=20)
