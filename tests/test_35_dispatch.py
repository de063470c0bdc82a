"""The outbox goes out: bounded, each channel by itself, many notices as one, refused ones parked, routes and limits kept."""

from __future__ import annotations

import json
import re
import threading
import time
from datetime import UTC, datetime
from itertools import product

import outbox
import pytest
from hypothesis import given
from hypothesis import strategies as st
from outbox import NIGHT, webhook
from receivers import receiving
from test_34_notify import mail_server

from insar_anomaly import cli, pipeline
from insar_anomaly.config.load import load
from insar_anomaly.config.route import RouteSettings
from insar_anomaly.notify.message import NotDelivered, Refused, Unreachable
from insar_anomaly.notify.parcels import Breaker, Waiting, parcels
from insar_anomaly.notify.routing import Destination, destinations

FILES = '[[channel]]\nkind = "files"\nfolder = "notices"\n'
MANY = [221000 + number for number in range(30)]


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")


def events(receiver):
    return [json.loads(body) for _, body in receiver.came]


def run(place, *words):
    return cli.main(["-c", str(place.config), *map(str, words)])


# ------------------------------------------------------------------------------------------------------------------ bounds


def test_a_dead_channel_costs_one_deadline_and_is_told_once(tmp_path):
    with receiving(hang=True) as dead:
        place = outbox.build(tmp_path, webhook(dead.url, timeout_s=0.5, group_above=1000) + FILES, gvps=MANY)
        keys = place.put(*MANY)
        other = place.put(MANY[0], channel="files")
        started = time.monotonic()
        done = place.deliver()
        assert time.monotonic() - started < 5.0
        assert len(dead.came) == 1
        [failure] = done.failures
        assert "was given up" in failure.error or "given up after 0.5 s" in failure.error
        assert "left alone until the next run, 29 more notices wait" in failure.error
        assert place.waiting() == keys
        assert (done.counts["delivered"], other[0] in place.waiting()) == (1, False)
        dead.hang = False
        assert place.deliver().failures == []
        assert [event["id"] for event in events(dead)[1:]] == keys
        assert place.waiting() == []


def test_what_was_not_tried_is_in_the_digest_too(tmp_path):
    with receiving(hang=True) as dead:
        place = outbox.build(tmp_path, webhook(dead.url, timeout_s=0.3, group_above=1000), gvps=MANY)
        place.put(*MANY)
        with place.opened("nightly", NIGHT) as (s, one):
            pipeline.deliver(s, one)
            digest = pipeline.summary(s, one)
    assert len(digest.undelivered) == 30
    from insar_anomaly.report.digest import lines

    told = [line for line in lines(digest) if "hook" in line]
    assert len(told) < 14
    assert any("and 20 more: `insar-anomaly notices`" in line for line in lines(digest))


def test_a_dead_channel_costs_one_deadline_in_a_night_that_sends_a_digest_too(tmp_path):
    wants = '[[route]]\nchannel = "webhook"\nkinds = ["raised", "digest"]\n'
    with receiving(hang=True) as dead:
        place = outbox.build(tmp_path, webhook(dead.url, timeout_s=0.5) + wants)
        [key] = place.put(221080)
        with place.opened("nightly", NIGHT) as (s, one):
            pipeline.deliver(s, one)
            pipeline.summary(s, one)
        assert len(dead.came) == 1
        assert [failure.stage for failure in one.failures] == ["notify"]
        assert place.waiting() == [key, f"digest:{NIGHT}:webhook"]
        dead.hang = False
        assert place.deliver().failures == []
        assert place.waiting() == []


def test_what_a_receiver_could_not_take_is_not_tried_again_with_the_digest(tmp_path):
    wants = '[[route]]\nchannel = "webhook"\nkinds = ["raised", "digest"]\n'
    with receiving(answer=lambda body: 204 if b"digest" in body else 500) as receiver:
        place = outbox.build(tmp_path, webhook(receiver.url) + wants)
        [key] = place.put(221080)
        with place.opened("nightly", NIGHT) as (s, one):
            pipeline.deliver(s, one)
            pipeline.summary(s, one)
        assert [event["id"] for event in events(receiver)] == [key, f"digest:{NIGHT}:webhook"]
        assert place.waiting() == [key]


def test_channels_do_not_wait_for_each_other(tmp_path):
    """The slow channel gets its answer only once the other one has got its notice."""
    arrived = threading.Event()

    def slow(body):
        return 204 if arrived.wait(20) else 500

    def quick(body):
        arrived.set()
        return 204

    with receiving(answer=slow) as first, receiving(answer=quick) as second:
        place = outbox.build(tmp_path, webhook(first.url, timeout_s=30) + webhook(second.url))
        place.put(221080)
        place.put(221080, channel="webhook-2")
        assert place.deliver().failures == []


def test_a_channel_that_answers_with_errors_is_left_alone_after_three(tmp_path):
    with receiving(answer=lambda body: 500) as receiver:
        place = outbox.build(tmp_path, webhook(receiver.url, group_above=1000), gvps=MANY)
        place.put(*MANY)
        done = place.deliver()
        assert len(receiver.came) == 3
        assert len(done.failures) == 3
        assert len(place.waiting()) == 30


def test_a_channel_opens_again_after_a_notice_that_arrives():
    breaker = Breaker()
    for _ in range(2):
        breaker.failed(NotDelivered("500"))
        breaker.failed(NotDelivered("500"))
        assert not breaker.open
        breaker.arrived()
    for _ in range(10):
        breaker.failed(Refused("422"))
    assert not breaker.open
    breaker.failed(Unreachable("no answer"))
    assert breaker.open


def test_a_channel_that_is_gone_is_told_once_and_keeps_its_notices(tmp_path):
    place = outbox.build(tmp_path, FILES, gvps=MANY)
    keys = place.put(*MANY[:3], channel="pigeon")
    done = place.deliver()
    assert ["no longer configured" in one.error for one in done.failures] == [True]
    assert place.waiting() == keys


# ---------------------------------------------------------------------------------------------------------------- grouping


def test_many_notices_go_out_as_one_message_for_each_region(tmp_path):
    other = [343100, 343101]
    with receiving() as receiver:
        place = outbox.build(tmp_path, webhook(receiver.url, group_above=20), gvps=[*MANY, *other])
        keys = place.put(*MANY, *other)
        assert place.deliver().counts["delivered"] == 32
        first, second = events(receiver)
    assert [one["key"] for one in first["data"]["notices"]] == keys[:30]
    assert [one["key"] for one in second["data"]["notices"]] == keys[30:]
    assert (first["type"], first["data"]["region"], second["data"]["region"]) == ("insar_anomaly.flag.group", "22", "34")
    assert first["id"] != second["id"]
    assert place.waiting() == []
    assert place.deliver().counts["delivered"] == 0


def test_five_thousand_notices_take_one_message_and_few_seconds(tmp_path):
    with receiving() as receiver:
        place = outbox.build(tmp_path, webhook(receiver.url), gvps=MANY[:20])
        with place.opened("put", NIGHT) as (s, _), s.ledger.together():
            for gvp, number in product(MANY[:20], range(250)):
                s.ledger.put(outbox.stack_of(gvp), [outbox.notice(gvp, number)])
        started = time.monotonic()
        assert place.deliver().counts["delivered"] == 5000
        assert time.monotonic() - started < 30
        [event] = events(receiver)
    assert len({one["key"] for one in event["data"]["notices"]}) == 5000


def test_what_was_put_together_once_goes_out_together_again_and_new_notices_apart(tmp_path):
    """A receiver that got the first message, and whose answer was lost, knows the second by its key."""
    with receiving(answer=lambda body: 500) as receiver:
        place = outbox.build(tmp_path, webhook(receiver.url, group_above=5), gvps=MANY)
        place.put(*MANY[:10])
        place.deliver()
        receiver.answer = lambda body: 204
        late = place.put(*MANY[10:12])
        assert place.deliver().failures == []
        lost, again, *apart = events(receiver)
    assert lost["id"] == again["id"]
    assert lost["data"] == again["data"]
    assert [event["id"] for event in apart] == late


def received(mailbox):
    """Of each receiver, what every mail to it says: the numbers of the volcanoes."""
    found = {}
    for mail, receivers in zip(mailbox.mails, mailbox.received_by, strict=True):
        text = mail.get_body(("plain",)).get_content()
        for one in receivers:
            found.setdefault(one, []).append(sorted({int(gvp) for gvp in re.findall(r"Volcano (\d+)", text)}))
    return found


def with_contacts(folder, port, contacts, own=("duty@example.org",)):
    """An installation with one e-mail channel that groups, and these contacts by volcano."""
    mail = (
        f'[[channel]]\nkind = "email"\nhost = "127.0.0.1"\nport = {port}\nsender = "flags@example.org"\n'
        f"starttls = false\ngroup_above = 2\nrecipients = {list(own)}\n"
    )
    place = outbox.build(folder, mail, gvps=[])
    entry = '[[volcano]]\ngvp = {}\nname = "Volcano {}"\nlat = 0.0\nlon = 40.0\nframes = ["{}"]\ncontacts = {}\n'
    text = "".join(entry.format(gvp, gvp, outbox.FRAME, list(who)) for gvp, who in contacts.items())
    (folder / "volcanoes.toml").write_text(text.replace("'", '"'))
    place.config.write_text(place.config.read_text().replace("'", '"'))
    return place


SHARED = {
    221000: ("north@b.org", "both@b.org"),
    221001: ("both@b.org",),
    221002: ("north@b.org", "both@b.org", "duty@example.org"),
    343100: ("south@b.org", "both@b.org"),
    343101: (),
}


def test_nobody_gets_two_mails_of_a_region_nor_a_notice_of_a_volcano_that_is_not_theirs(tmp_path):
    with mail_server() as (mailbox, email):
        place = with_contacts(tmp_path, email().port, SHARED)
        place.put(*SHARED, channel="email")
        assert place.deliver().failures == []
        assert place.deliver().failures == []
    assert received(mailbox) == {
        "duty@example.org": [[221000, 221001, 221002], [343100, 343101]],
        "both@b.org": [[221000, 221001, 221002], [343100]],
        "north@b.org": [[221000, 221002]],
        "south@b.org": [[343100]],
    }
    assert len({mail["Message-ID"] for mail in mailbox.mails}) == len(mailbox.mails) == 4
    assert place.waiting() == []


def test_a_contact_whose_address_is_refused_does_not_bring_the_others_the_same_mail_again(tmp_path):
    with mail_server() as (mailbox, email):
        place = with_contacts(tmp_path, email().port, SHARED)
        keys = place.put(221000, 221001, 221002, channel="email")
        mailbox.refused = {"north@b.org"}
        for night in range(2):
            [failure] = place.deliver(night).failures
            assert "north@b.org" in failure.error
        assert place.waiting() == keys
        assert received(mailbox) == {name: [[221000, 221001, 221002]] for name in ("duty@example.org", "both@b.org")}
        mailbox.refused = set()
        assert place.deliver(2).failures == []
    assert received(mailbox)["north@b.org"] == [[221000, 221002]]
    assert len(mailbox.mails) == 2
    assert place.waiting() == []


PEOPLE = st.sampled_from(["a@b.org", "b@b.org", "c@b.org", "duty@b.org"])


@given(st.lists(st.lists(PEOPLE, max_size=4).map(tuple), min_size=1, max_size=6), st.sampled_from([(), ("duty@b.org",)]))
def test_each_receiver_is_in_one_letter_that_has_just_their_notices(contacts, own):
    waiting = [Waiting(f"k{number}", "raised", 221080, who) for number, who in enumerate(contacts)]
    [parcel] = parcels("email", waiting, above=1) if len(waiting) > 1 else parcels("email", waiting, above=9)
    letters = parcel.letters(own)
    wanted = {one: tuple(w.key for w in waiting if one in own or one in w.contacts) for who in contacts for one in who}
    wanted |= dict.fromkeys(own, parcel.keys)
    got = [(one, letter.keys) for letter in letters for one in (*letter.contacts, *(own if letter.own else ()))]
    assert sorted(got) == sorted(wanted.items())
    assert {key for letter in letters for key in letter.keys} == set(parcel.keys)  # also of what nobody gets
    assert len({parcel.receipt_of(letter) for letter in letters}) == len(letters)


def test_few_notices_and_those_of_a_night_go_alone():
    waiting = [Waiting(f"k{number}", "digest", 0) for number in range(10)]
    waiting += [Waiting(f"f{number}", "raised", 221080) for number in range(3)]
    assert [one.keys for one in parcels("x", waiting, above=3)] == [(one.key,) for one in waiting]
    assert [one.bundle for one in parcels("x", waiting[10:], above=1, together=False)] == [None] * 3


# ----------------------------------------------------------------------------------------------------------------- parking


def poison(body):
    return 422 if b"221080" in body else 204


def test_a_notice_that_is_refused_night_after_night_is_parked_and_told_elsewhere(tmp_path, capsys):
    with receiving(answer=poison) as receiver:
        place = outbox.build(tmp_path, webhook(receiver.url, park_after=2) + FILES, gvps=(221080, 221090))
        bad, good = place.put(221080, 221090)
        assert len(place.deliver().failures) == 1
        assert len(place.deliver().failures) == 1  # the same night counts once
        assert place.waiting() == [bad]
        [failure] = place.deliver(night=1).failures
        assert f"`insar-anomaly notices --retry {bad}`" in failure.error
        assert (place.waiting(), place.parked()) == ([], [bad])
        tried = len(receiver.came)
        assert place.deliver(night=2).failures == []
        assert len(receiver.came) == tried
        [told] = [json.loads(file.read_text()) for file in place.notices]
        assert (told["kind"], told["payload"]["channel"]) == ("parked", "webhook")
        assert "Volcano 221080" in told["body"]
        assert run(place, "notices") == 0
        assert f"{bad}: parked, refused on 2 nights" in capsys.readouterr().out
        assert run(place, "notices", "--retry", good) == 2
        assert run(place, "notices", "--retry", bad) == 0
        receiver.answer = lambda body: 204
        assert place.deliver(night=3).counts["delivered"] == 1
        assert (place.waiting(), place.parked()) == ([], [])


def test_a_wrong_secret_parks_nothing(tmp_path):
    with receiving(answer=lambda body: 401) as receiver:
        place = outbox.build(tmp_path, webhook(receiver.url, park_after=1))
        keys = place.put(221080)
        for night in range(3):
            place.deliver(night)
        assert (place.waiting(), place.parked()) == (keys, [])


# ------------------------------------------------------------------------------------------------------------------ limits


def test_a_limit_says_when_it_begins_and_when_it_ends_once_each(tmp_path):
    with receiving() as receiver:
        place = outbox.build(tmp_path, webhook(receiver.url, max_per_hour=2, group_above=1000), gvps=MANY)
        keys = place.put(*MANY[:5])
        for _ in range(2):
            assert any("its limit of 2 messages an hour" in words for words in place.deliver().warnings)
        assert [event["id"] for event in events(receiver) if event["type"].endswith("raised")] == keys[:2]
        [begun] = [event["data"] for event in events(receiver) if event["type"].endswith("limit")]
        assert (begun["limited"], begun["waiting"]) == (True, 3)
        hour_passes(place)
        place.deliver()
        assert place.waiting() == keys[4:]
        hour_passes(place)
        for _ in range(2):
            place.deliver()
        limits = [event["data"]["limited"] for event in events(receiver) if event["type"].endswith("limit")]
        assert limits == [True, False]
        assert place.waiting() == []
        assert len([event for event in events(receiver) if event["type"].endswith("raised")]) == 5


def test_a_group_that_is_split_over_receivers_counts_as_many_messages_as_are_sent(tmp_path):
    """Two sets of receivers get different parts of one group, under a limit of one: the second waits for the next hour."""
    with mail_server() as (mailbox, email):
        place = with_contacts(tmp_path, email().port, SHARED)
        place.change("group_above = 2", "group_above = 2\nmax_per_hour = 1")
        keys = place.put(*list(SHARED)[:3], channel="email")
        for _ in range(2):
            done = place.deliver()
            assert (done.failures, len(letters_in(mailbox)), place.waiting()) == ([], 1, keys)
            assert any("its limit of 1 messages an hour is reached; 3 notices wait" in words for words in done.warnings)
        hour_passes(place)
        late = place.put(343100, channel="email")
        for _ in range(2):
            assert place.deliver().failures == []
            assert (len(letters_in(mailbox)), place.waiting()) == (2, late)
        hour_passes(place)
        place.deliver()
        assert (len(letters_in(mailbox)), place.waiting()) == (3, [])
    assert received(mailbox)["north@b.org"] == [[221000, 221002]]


def letters_in(mailbox):
    """Mails that tell of flags, not of the limit."""
    return [mail for mail in mailbox.mails if "Limit of notices" not in mail["Subject"]]


def hour_passes(place):
    """Everything that was delivered was delivered an hour ago."""
    import sqlite3

    with sqlite3.connect(place.folder / "ledger.sqlite") as database:
        database.execute("update notice set delivered_at = datetime(delivered_at, '-61 minutes') where delivered_at notnull")


# ------------------------------------------------------------------------------------------------------------------ routes


def route(**given):
    return RouteSettings(**{"channel": "files", **given})


def at(hour, minute=0):
    return datetime(2021, 6, 1, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    ("hours", "zone", "open_", "shut"),
    [
        ("07:00-19:00", "UTC", (7, 18), (6, 19, 0)),
        ("22:00-06:00", "UTC", (22, 0, 5), (6, 12, 21)),
        ("07:00-19:00", "America/Guayaquil", (12, 23), (11, 0, 5)),  # UTC-5
        (None, "UTC", (0, 12), ()),
    ],
)
def test_hours(hours, zone, open_, shut):
    one = route(hours=hours, timezone=zone)
    assert all(one.open_at(at(hour)) for hour in open_)
    assert not any(one.open_at(at(hour)) for hour in shut)


def test_volcanoes_by_number_name_and_region():
    one = route(volcanoes=[221080, "fuego", "26*"])
    assert all(one.covers(*known) for known in [(221080, "Erta Ale"), (342090, "Fuego"), (263300, "Semeru")])
    assert not one.covers(211060, "Etna")
    assert route().covers(211060, "Etna")


def test_without_kinds_a_route_takes_what_tells_of_a_flag_also_kinds_of_later():
    one = route()
    assert [kind for kind in ("raised", "cleared", "amended", "digest", "stale", "failure", "noted") if one.takes(kind)] == [
        "raised",
        "cleared",
        "amended",
    ]
    assert route(kinds=["digest"]).takes("digest")
    assert not route(kinds=["digest"]).takes("raised")


def test_routes_with_recipients_or_a_language_keep_their_notices_apart(tmp_path):
    text = (
        '[[channel]]\nkind = "email"\nname = "mail"\nhost = "h"\nsender = "a@b.org"\nrecipients = ["all@b.org"]\n'
        '[[route]]\nchannel = "mail"\nkinds = ["raised"]\n'
        '[[route]]\nchannel = "mail"\nname = "south"\nlanguage = "es"\nvolcanoes = ["3*"]\nrecipients = ["sur@b.org"]\n'
        '[[route]]\nchannel = "mail"\nrecipients = ["boss@b.org"]\nkinds = ["digest"]\n'
    )
    config = load(outbox.build(tmp_path, text).config)
    plain, south, boss = destinations(config.channel, config.route).values()
    assert (plain.name, south.name, boss.channel) == ("mail", "mail@south", "mail")
    assert (south.language, south.settings.recipients, south.personal) == ("es", ("sur@b.org",), False)
    assert boss.name.startswith("mail@")
    assert (plain.takes("raised", 221080, "x"), south.takes("raised", 221080, "x"), south.takes("raised", 342090, "x")) == (
        True,
        False,
        True,
    )


def test_without_a_route_every_channel_takes_every_notice_of_a_flag_at_any_hour(tmp_path):
    config = load(outbox.build(tmp_path, FILES).config)
    [one] = destinations(config.channel, config.route).values()
    assert (one.name, one.language, one.personal) == ("files", "en", True)
    assert one.takes("raised", 221080, "x")
    assert not one.takes_of_a_night("digest")
    assert one.open_at(at(3), "raised", {})


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ('channel = "pigeon"', '[[route]] channel: no channel is called "pigeon"; there is files'),
        ('channel = "files"\nrecipients = ["a@b.org"]', "[[route]] recipients: a channel of kind files has no recipients"),
        ('channel = "files"\ntimezone = "Mars"', '"Mars" is not a time zone'),
        ('channel = "files"\nhours = "7-19"', '[[route]] hours: "7-19" is no span of hours; write two times of two digits'),
        ('channel = "files"\nhours = "00:00-24:00"', '"07:00-19:00" and 00:00 for midnight'),
        ('channel = "files"\nhours = "07:00-07:00"', '"07:00-07:00" could be no time at all or the whole day; write two'),
        ('channel = "files"\nkinds = ["risen"]', "[[route]] kinds: item 1: give"),
    ],
)
def test_mistakes_in_routes_are_told_with_their_line(tmp_path, capsys, lines, words):
    place = outbox.build(tmp_path, f"{FILES}[[route]]\n{lines}\n")
    assert run(place, "config", "--check", place.config) == 2
    assert words.replace('"Mars"', "'Mars'") in capsys.readouterr().err


def test_two_channels_of_one_name_are_a_mistake(tmp_path, capsys):
    place = outbox.build(tmp_path, 2 * FILES.replace('kind = "files"', 'kind = "files"\nname = "duty"'))
    assert run(place, "config", "--check", place.config) == 2
    assert '[[channel]] name: "duty" is the name of another channel too' in capsys.readouterr().err


def test_outside_its_hours_a_notice_waits_and_what_is_rare_does_not():
    rare = Destination("x", "x", load_files(), (route(hours="07:00-19:00", any_hour_above_years=50),))
    assert rare.open_at(at(8), "raised", {})
    assert not rare.open_at(at(3), "raised", {"return_period_years": 40.0})
    assert rare.open_at(at(3), "raised", {"return_period_years": 60.0})
    assert not rare.open_at(at(3), "cleared", {"return_period_years": 60.0})
    assert not rare.open_at(at(3), "raised", {"return_period_years": None})


def load_files():
    from insar_anomaly.notify.files import FilesSettings

    return FilesSettings(kind="files", folder="x")


def closed_now():
    """Hours that do not hold this moment, nor the next quarter of an hour."""
    hour = datetime.now(UTC).hour
    return f"{(hour + 2) % 24:02d}:00-{(hour + 3) % 24:02d}:00"


def test_a_notice_that_waits_for_its_hours_is_no_failure_and_goes_out_when_they_come(tmp_path):
    hours = closed_now()
    place = outbox.build(tmp_path, f'{FILES}[[route]]\nchannel = "files"\nhours = "{hours}"\n')
    keys = place.put(221080, channel="files")
    done = place.deliver()
    assert (done.failures, place.waiting()) == ([], keys)
    assert any("1 notices wait for the hours" in words for words in done.warnings)
    place.change(f'hours = "{hours}"\n', "")
    assert place.deliver().counts["delivered"] == 1


def test_a_notice_whose_route_is_gone_goes_by_its_channel(tmp_path):
    place = outbox.build(tmp_path, FILES)
    place.put(221080, channel="files@night-duty")
    assert place.deliver().counts["delivered"] == 1


# ------------------------------------------------------------------------------------------------ matrix, test, digest


def test_the_matrix_says_who_gets_what(tmp_path, capsys):
    text = (
        FILES + '[[channel]]\nkind = "email"\nname = "mail"\nhost = "h"\nsender = "a@b.org"\n'
        '[[route]]\nchannel = "files"\nkinds = ["digest"]\n'
        '[[route]]\nchannel = "mail"\nvolcanoes = ["22*"]\nhours = "07:00-19:00"\nlanguage = "es"\nname = "es"\n'
    )
    place = outbox.build(tmp_path, text, gvps=(221080, 343100))
    assert run(place, "--json", "channels", "--matrix") == 0
    files, mail = json.loads(capsys.readouterr().out)
    assert (files["destination"], files["kinds"]) == ("files", ["digest"])
    assert (mail["destination"], mail["language"], mail["hours"]) == ("mail@es", "es", ["07:00-19:00 UTC"])
    assert mail["kinds"] == ["raised", "escalated", "released", "cleared", "withdrawn"]
    assert (mail["volcanoes"], mail["unheard"]) == ([], [221080])
    assert run(place, "channels", "--matrix") == 0
    assert "NOBODY gets the notices of 1 volcanoes here" in capsys.readouterr().out
    assert run(place, "channels") == 0
    assert capsys.readouterr().out == "files: files\nmail: email\n"


def test_the_matrix_says_when_rare_flags_do_not_wait_who_is_left_out_and_what_matches_nothing(tmp_path, capsys):
    text = (
        FILES
        + FILES.replace('kind = "files"', 'kind = "files"\nname = "idle"')
        + '[[route]]\nchannel = "files"\nhours = "07:00-19:00"\nany_hour_above_years = 50\n'
        + '[[route]]\nchannel = "files"\nkinds = ["digest"]\n'
        + '[[route]]\nchannel = "files"\nname = "south"\nvolcanoes = ["353*", "Fuegoo", "22*"]\n'
    )
    place = outbox.build(tmp_path, text, gvps=(221080, 343100))
    assert run(place, "--json", "channels", "--matrix") == 0
    files, south, idle = json.loads(capsys.readouterr().out)
    assert (files["hours"], files["any_hour_above_years"], files["always"]) == (["07:00-19:00 UTC"], [50.0], True)
    assert (south["unmatched"], south["volcanoes"], south["used"]) == (["353*", "Fuegoo"], [221080], True)
    assert (idle["destination"], idle["used"], idle["kinds"], idle["volcanoes"]) == ("idle", False, [], [])
    assert run(place, "channels", "--matrix") == 0
    files, south, idle = capsys.readouterr().out.splitlines()
    rare = "raised, escalated or released with a return period above 50 years: at any hour"
    assert f"07:00-19:00 UTC ({rare}) or at any hour" in files
    assert 'NO volcano of the catalogue matches "353*", "Fuegoo"' in south
    assert idle == "idle (files): reaches NOBODY: no [[route]] uses this channel; add one, or remove the channel"
    assert run(place, "channels", "--matrix", "--volcano", "343100") == 0
    files, south, idle = capsys.readouterr().out.splitlines()
    assert "every volcano" in files
    assert '0 of 1 volcanoes; at any hour; language en; NO volcano of the catalogue matches "353*", "Fuegoo"' in south
    assert run(place, "channels", "--matrix", "--volcano", "1") == 2


def test_a_test_is_marked_as_a_test_and_touches_neither_flags_nor_the_outbox(tmp_path, capsys):
    with receiving() as receiver:
        place = outbox.build(tmp_path, webhook(receiver.url) + FILES)
        place.put(221080)
        before = place.rows("select * from notice")
        assert run(place, "notify", "--test", "all") == 0
        assert run(place, "notify", "--test", "webhook") == 0
        assert run(place, "notify", "--test", "pigeon") == 2
        assert "there is webhook, files" in capsys.readouterr().err
        assert place.rows("select * from notice") == before
        assert place.rows("select count(*) from run where kind = 'notify'") == [(0,)]
    assert [event["type"] for event in events(receiver)] == ["insar_anomaly.flag.test"] * 2
    assert all(event["data"]["test"] is True for event in events(receiver))
    [told] = [json.loads(file.read_text()) for file in place.notices]
    assert told["subject"].startswith("[TEST]")
    assert told["body"].startswith("THIS IS A TEST")
    assert told["payload"]["test"] is True
    texts = [told["body"], *(event["data"]["text"] for event in events(receiver))]
    assert all("This is a test only." in text and "screening flag" not in text for text in texts)
    assert all(event["disclaimer"].startswith("This is a test only.") for event in events(receiver))


def test_a_test_that_does_not_arrive_is_told_for_each_channel(tmp_path, capsys):
    with receiving(answer=lambda body: 500) as receiver:
        place = outbox.build(tmp_path, webhook(receiver.url) + FILES)
        assert run(place, "--json", "notify", "--test", "all") == 1
    assert [one["ok"] for one in json.loads(capsys.readouterr().out)] == [False, True]


def test_notify_sends_what_waits_between_two_nights(tmp_path, capsys):
    place = outbox.build(tmp_path, FILES)
    place.put(221080, channel="files")
    assert run(place, "notify") == 0
    assert "1 delivered" in capsys.readouterr().out
    assert place.waiting() == []


def test_the_digest_goes_to_who_wants_it_every_night_also_one_with_nothing(tmp_path):
    with receiving() as receiver:
        text = webhook(receiver.url) + FILES + '[[route]]\nchannel = "webhook"\nkinds = ["digest", "failure"]\n'
        place = outbox.build(tmp_path, text)
        for _ in range(2):  # a second run of the same night tells it no more
            with place.opened("nightly", NIGHT) as (s, one):
                pipeline.summary(s, one)
        with place.opened("nightly", NIGHT) as (s, one):
            one.fail("221080/x", "ingest", "the disk is full")
            pipeline.summary(s, one)
        digest, failure = events(receiver)
    assert digest["type"] == "insar_anomaly.flag.digest"
    assert digest["data"]["digest"]["as_of"] == str(NIGHT)
    assert failure["data"]["failures"] == [{"stack": "221080/x", "stage": "ingest", "error": "the disk is full"}]
    assert place.waiting() == []


def test_noted_flags_go_to_who_wants_them(tmp_path):
    from dataclasses import replace

    from insar_anomaly.flags.states import FlagState
    from insar_anomaly.names import EvidenceKind
    from insar_anomaly.pipeline.night_notices import tell_night
    from insar_anomaly.report.digest import OF_A_NIGHT, Digest, OpenFlag

    noted = OpenFlag(
        "221080/x", "Erta Ale", 1, NIGHT, NIGHT, "p", "p", 2.0, 1.0, 1, "m", EvidenceKind.PAIR, 1.0, 1, state=FlagState.NOTED
    )
    raised = replace(noted, number=2, state=FlagState.RAISED)
    counts = dict.fromkeys(OF_A_NIGHT, 0)
    digest = Digest(NIGHT, 1, "nightly", 1, counts, (noted, raised), (), (), (), ())
    with receiving() as receiver:
        text = webhook(receiver.url) + '[[route]]\nchannel = "webhook"\nkinds = ["noted", "failure"]\n'
        place = outbox.build(tmp_path, text)
        with place.opened("nightly", NIGHT) as (s, one):
            tell_night(s, one, digest)
            tell_night(s, one, replace(digest, open_flags=(raised,)))
        [told] = events(receiver)
    assert [flag["number"] for flag in told["data"]["flags"]] == [1]


def test_a_stale_stack_is_told_once_and_again_after_data_came_and_stopped_anew(tmp_path):
    from datetime import date, timedelta

    from insar_anomaly.pipeline.night_notices import tell_night
    from insar_anomaly.report.digest import OF_A_NIGHT, Digest
    from insar_anomaly.stack.freshness import StackState

    def night(day, newest):
        state = StackState(day, newest, (day - newest).days, 12, newest + timedelta(12), missed=5, accepted=9, stale=True)
        counts = dict.fromkeys(OF_A_NIGHT, 0)
        return Digest(day, 1, "nightly", 1, counts, (), (), (), (), (), states={"221080/001A_00001_010101": state})

    with receiving() as receiver:
        place = outbox.build(tmp_path, webhook(receiver.url) + '[[route]]\nchannel = "webhook"\nkinds = ["stale"]\n')
        with place.opened("nightly", NIGHT) as (s, one):
            for day, newest in ((0, date(2021, 6, 1)), (1, date(2021, 6, 1)), (90, date(2021, 10, 20))):
                tell_night(s, one, night(NIGHT + timedelta(day), newest))
        told = [event["data"]["newest"] for event in events(receiver)]
    assert told == ["2021-06-01", "2021-10-20"]
