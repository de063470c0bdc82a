"""A night's digest can be read again, from what that night has written."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from installation import AS_OF, RISING

from insar_anomaly import cli
from insar_anomaly.errors import UsageError
from insar_anomaly.flags.states import FlagState
from insar_anomaly.report.digest import lines
from insar_anomaly.report.stored import digest_text, read_digest


@pytest.fixture(scope="module")
def written(with_a_flag):
    """The folder in which a night has left its digest. Shared: read it."""
    return with_a_flag.folder / "figures"


def run(place, *words):
    return cli.main(["-c", str(place.config), *map(str, words)])


def test_what_a_night_has_written_is_printed_again_in_its_own_words(with_a_flag, written, capsys):
    text = (written / f"digest-{AS_OF}.json").read_text()
    assert run(with_a_flag, "digest") == 0
    said = capsys.readouterr().out.splitlines()
    assert said == lines(read_digest(text))
    assert said[0].startswith(f"Screening of {AS_OF}")
    assert any(f"Rising Cone {RISING}: raised flag 1" in line or "escalated flag 1" in line for line in said)
    assert run(with_a_flag, "--json", "digest", "--date", AS_OF) == 0
    assert capsys.readouterr().out == text


def test_a_digest_is_read_as_it_was_written(written):
    text = digest_text(written)
    assert read_digest(text).text == text


def test_of_several_nights_the_newest_is_meant(written, tmp_path):
    newest = AS_OF + timedelta(days=1)
    for night in (AS_OF, newest):
        content = json.loads(digest_text(written)) | {"as_of": str(night)}
        (tmp_path / f"digest-{night}.json").write_text(json.dumps(content))
    (tmp_path / "digest-later.json").write_text("{}")
    assert read_digest(digest_text(tmp_path)).as_of == newest
    assert read_digest(digest_text(tmp_path, AS_OF)).as_of == AS_OF


def test_a_digest_of_the_first_version_is_read(written):
    content = json.loads(digest_text(written))
    for name in ("version", "costs", "states", "stale", "unmeasured_summits", "level", "changed_pairs"):
        content.pop(name)
    for flag in content["open_flags"]:
        del flag["state"], flag["stale"]
        flag |= {"cleared": None, "withdrawn": False, "standing": []}
    found = read_digest(json.dumps(content))
    assert [flag.state for flag in found.open_flags] == [FlagState.RAISED]
    assert lines(found)[0].startswith(f"Screening of {AS_OF}")


def test_where_there_is_none_it_is_said_with_the_remedy(with_a_flag, tmp_path, capsys):
    assert run(with_a_flag, "digest", "--date", AS_OF + timedelta(days=9)) == 2
    assert f"holds no digest of {AS_OF + timedelta(days=9)}; the nearest are of {AS_OF}" in capsys.readouterr().err
    with pytest.raises(UsageError, match="every `insar-anomaly nightly` writes one there"):
        digest_text(tmp_path)
    assert run(with_a_flag, "digest", "--volcano", "990002") == 2
    assert "a digest is of all volcanoes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"), [('{"version": 99}', "written by newer code"), ("{", "cannot be read"), ('{"version": 5}', "as_of")]
)
def test_what_is_no_digest_is_refused(text, said):
    with pytest.raises(UsageError, match=said):
        read_digest(text)
