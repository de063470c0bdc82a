"""The configuration: defaults that load back, every mistake with its place, environment over file, paths of the file."""

from __future__ import annotations

import math
import os
import re
import tomllib
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from insar_anomaly import detectors
from insar_anomaly.config.channel import ChannelKind
from insar_anomaly.config.defaults import commented_defaults
from insar_anomaly.config.load import load, secret
from insar_anomaly.config.route import RouteSettings
from insar_anomaly.config.sections import Config
from insar_anomaly.config.source import SourceSettings
from insar_anomaly.errors import ConfigError
from insar_anomaly.files.allowed import as_toml
from insar_anomaly.pipeline.check import detector_lines, load_checked
from insar_anomaly.registry import CHANNELS, DETECTORS, SOURCES

SMALL = '[[source]]\nurl = "archive"\n'

FULL = """\
store = "here/store"
ledger = "sqlite:///here/ledger.sqlite"

[[source]]
url = "archive"

[[source]]
url = "s3://bucket/archive"

[preprocess]
range_form = "tanh"

[calibrate]
policy = "youden"
folds = 3

[[channel]]
kind = "files"
folder = "notices"

[[channel]]
kind = "webhook"
url = "https://example.org/hook"
secret_env = "HOOK_SECRET"
"""

Write = Callable[[str], Path]


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in os.environ if n.upper().startswith("INSAR_ANOMALY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOOK_SECRET", "whsec_c2VjcmV0")


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes the configuration file of this test."""

    def writer(text: str) -> Path:
        file = tmp_path / "insar.toml"
        file.write_text(text, encoding="utf-8")
        return file

    return writer


def told(file: Path) -> list[str]:
    """Lines of the error that loading raises."""
    with pytest.raises(ConfigError) as caught:
        load(file)
    return str(caught.value).splitlines()


# ------------------------------------------------------------------------------------------------------ defaults


def printed() -> str:
    return commented_defaults({"detector": detector_lines()})


def test_the_printed_defaults_load_back_as_the_defaults_once_a_source_is_named(write):
    file = write(printed().replace('url = "..."', 'url = "archive"'))
    assert load(file) == load(write(SMALL))


def test_every_printed_default_is_the_default_when_its_line_is_uncommented(write):
    text = commented_defaults().replace('url = "..."', 'url = "archive"').partition("\n# Notices as JSON")[0]
    bare = re.sub(r"^# (\w+ = )", r"\1", text, flags=re.MULTILINE)
    bare = re.sub(r"^\w+ =  # unset.*\n", "", bare, flags=re.MULTILINE)
    values = tomllib.loads(bare)
    assert len(values["calibrate"]) >= 8
    assert load(write(bare)) == load(write(SMALL))


def test_every_setting_is_printed_with_its_meaning():
    lines = printed().splitlines()
    for name, field in Config.model_fields.items():
        if isinstance(field.annotation, type) and hasattr(field.annotation, "model_fields"):
            for key, inner in field.annotation.model_fields.items():
                assert any(line.startswith(f"# {key} = ") and str(inner.description) in line for line in lines), (name, key)
    assert '# policy = "false-alarms-per-year"' in printed()
    assert "(false-alarms-per-year | fpr | youden | quantile)" in printed()


@pytest.mark.parametrize("kind", DETECTORS.kinds)
def test_the_printed_settings_of_every_detector_are_its_settings(kind, write):
    lines = printed().splitlines()
    start = lines.index(f'# settings of kind = "{kind}":') + 1
    own = []
    for line in lines[start:]:
        if not re.match(r"# \w+ = ", line):
            break
        if " =  # unset" not in line:
            own.append(line.removeprefix("# "))
    assert own
    file = write(SMALL + f'[detector]\nkind = "{kind}"\n' + "\n".join(own) + "\n")
    config = load_checked(file, volcanoes=False)
    options = {k: tuple(v) if isinstance(v, list) else v for k, v in config.detector.options.items()}
    assert detectors.build(kind, **options) == detectors.build(kind)


def test_the_printed_channels_are_valid_once_filled_in(write, monkeypatch):
    monkeypatch.setenv("HOOK_SECRET", "json://example.org")
    blocks = commented_defaults().split("# [[channel]]\n")[1:]
    filled = {"folder": "notices", "url": "https://example.org", "host": "smtp.example.org", "sender": "a@example.org"}
    filled |= {"urls_env": "HOOK_SECRET", "channel": "files"}
    text = SMALL
    for block in blocks:
        text += "[[channel]]\n"
        for line in block.replace("# [[route]]", "[[route]]").splitlines():
            text += f"{line}\n" if line == "[[route]]" else ""
            name = re.match(r"# (\w+) = \S", line)
            if name:
                given = '["true"]' if name[1] == "command" else f'"{filled.get(name[1])}"'
                text += f"{name[1]} = {given}\n" if "required" in line else line.removeprefix("# ") + "\n"
    config = load(write(text))
    assert [c.kind for c in config.channel] == ["files", "webhook", "email", "apprise", "command"]
    assert [r.channel for r in config.route] == ["files"]


# ------------------------------------------------------------------------------------------------------ mistakes


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("folds = 3", "fold = 3", 15, "[calibrate] fold: unknown key; did you mean folds?"),
        ("folds = 3", 'folds = "three"', 15, '[calibrate] folds: give a whole number from 2 to 20, not "three". Meaning: '),
        ("folds = 3", "folds = 21", 15, "[calibrate] folds: give a whole number from 2 to 20, not 21. Meaning: blocks of"),
        ("folds = 3", "folds = 2.5", 15, "[calibrate] folds: give a whole number from 2 to 20, not 2.5"),
        ("folds = 3", "fpr = 1.0", 15, "[calibrate] fpr: give a number above 0 and below 1, not 1.0"),
        ("folds = 3", "fpr = nan", 15, "[calibrate] fpr: give a number above 0 and below 1, not nan"),
        ("folds = 3", "min_pairs = 1", 15, "[calibrate] min_pairs: give a whole number from 5 on, not 1"),
        ("folds = 3", "peaks_cm = []", 15, "[calibrate] peaks_cm: give a list of one or more numbers above 0, not []"),
        ("folds = 3", "peaks_cm = [2, 3, -1]", 15, "peaks_cm: item 3: give a number above 0, not -1. Meaning: peaks of"),
        ("folds = 3", 'peaks_cm = [2, 3, "x"]', 15, 'item 3: give a number above 0, not "x"'),
        (
            "folds = 3",
            'rests_on = "pair"',
            15,
            "rests_on: unknown key; rests_on belongs to [flags]: write it below that line",
        ),
        (
            "folds = 3",
            'store = "x"',
            15,
            "store: unknown key; store belongs to the top of the file: write it above the first",
        ),
        ("folds = 3", "zzz = 1", 15, "zzz: unknown key; [calibrate] has policy, false_alarms_per_year, fpr, "),
        (
            '"youden"',
            '"best"',
            14,
            '[calibrate] policy: give "false-alarms-per-year", "fpr", "youden" or "quantile", not "best". Meaning: ',
        ),
        ('"tanh"', '"sigmoid"', 11, '[preprocess] range_form: give "tanh" or "clip", not "sigmoid"'),
        ('range_form = "tanh"', 'remove = ["plane", "sea"]', 11, 'item 2: give "plane", "quadratic", "height" or "piec'),
        ('range_form = "tanh"', 'remove = "plane"', 11, '[preprocess] remove: give a list of any of "plane", "quadratic", '),
        ('store = "here/store"', "store = 3", 1, "store: give text between quotes, not 3. Meaning: where stacks, models"),
        ('store = "here/store"', 'stor = "x"', 1, "stor: unknown key; did you mean store?"),
        ('store = "here/store"', 'email = "me@example.org"', 1, "email: unknown key; the file has store, ledger, "),
        ("[preprocess]", "[preproces]", 10, "preproces: unknown section; did you mean [preprocess]?"),
        ("[preprocess]", "[flag]", 10, "flag: unknown section; did you mean [flags]?"),
        ("[preprocess]", "[[chanel]]", 10, "chanel: unknown section; did you mean [[channel]]?"),
        ("[preprocess]", "[email]", 10, "email: unknown section; there are [[source]], [storage], [ingest], "),
        ("[calibrate]", "[[calibrate]]", 13, "calibrate: give a table headed [calibrate], not a list of tables"),
        ("[calibrate]", "cluster = 4\n[calibrate]", 13, "[preprocess] cluster: unknown key"),
        ('store = "here/store"', "cluster = 4", 1, "cluster: give a table headed [cluster], not 4"),
        ("[preprocess]", '[[flags]]\nrests_on = "pair"\n[preprocess]', 10, "flags: give a table headed [flags], not a list"),
        (
            'url = "s3://bucket/archive"',
            'kind = "licsar"',
            7,
            "[[source]] url: missing; give text between quotes. Meaning: ",
        ),
        ('url = "s3://bucket/archive"', 'url = 3\nkind = "licsar"', 8, "[[source]] url: give text between quotes, not 3."),
        (
            '"https://example.org/hook"',
            '"example.org/hook"',
            23,
            '[[channel]] url: give an address that begins with https:// or http://, such as "https://example.org/hook". Mea',
        ),
        (
            '"https://example.org/hook"',
            '"ftp://example.org"',
            23,
            "[[channel]] url: give an address that begins with https:",
        ),
        ("[calibrate]", '[serve]\nurl = "example.org"\n[calibrate]', 14, 'flags", not "example.org"'),
        (
            "[calibrate]",
            '[serve]\nurl = "https://a.org?b"\n[calibrate]',
            14,
            "give text of the form that is needed, such as",
        ),
        ('folder = "notices"', 'foldr = "notices"', 19, "[[channel]] foldr: unknown key; did you mean folder?"),
        ('folder = "notices"', 'foldr = "notices"', 17, "[[channel]] folder: missing; give text between quotes. Meaning: "),
        (
            'kind = "files"',
            'kind = "pigeon"',
            18,
            '[[channel]] kind: give "files", "webhook", "email", "apprise" or "command", not "pigeon"',
        ),
        ('folder = "notices"', "retries = true", 19, "[[channel]] retries: unknown key; [[channel]] has kind, name, "),
        ('folder = "notices"', "folds = 3", 19, "[[channel]] folds: unknown key; folds belongs to [calibrate]"),
        ("folds = 3", 'sender = "a@b.org"', 15, "[calibrate] sender: unknown key; sender belongs to [[channel]]"),
        (
            'secret_env = "HOOK_SECRET"',
            "timeout_s = true",
            24,
            "[[channel]] timeout_s: give a number above 0 and at most 300",
        ),
        ('kind = "files"', 'kind = "file"', 18, 'not "file"; did you mean files?'),
        ('url = "s3:', 'kind = "licsr"\nurl = "s3:', 8, 'not "licsr"; did you mean licsar?'),
        (
            'kind = "webhook"\n',
            "",
            21,
            '[[channel]] kind: missing; give "files", "webhook", "email", "apprise" or "command"',
        ),
    ],
)
def test_a_mistake_is_told_with_file_line_section_key_and_value(write, old, new, line, words):
    assert old in FULL
    file = write(FULL.replace(old, new))
    assert any(one.startswith(f"{file}:{line}: ") and words in one for one in told(file)), told(file)


def test_all_mistakes_are_told_at_once(write):
    file = write(FULL.replace("folds = 3", "folds = 1").replace('"tanh"', '"x"').replace("store =", "sotre ="))
    assert {one.removeprefix(f"{file}:").partition(":")[0] for one in told(file)} == {"1", "11", "15"}


@pytest.mark.parametrize("key", ["password", "secret", "api_token", "aws_secret_access_key"])
def test_a_secret_in_the_file_is_refused_and_not_repeated(write, key):
    file = write(FULL + f'{key} = "hunter2"\n')
    (only,) = told(file)
    assert f"{key}: unknown key; secrets come from the environment" in only
    assert "hunter2" not in only


@pytest.mark.parametrize("text", ["store = \n", "[calibrate\n", "a = 1\na = 2\n", "x"])
def test_a_file_that_is_no_toml_is_told_with_the_parsers_line(write, text):
    file = write(text)
    (only,) = told(file)
    assert re.match(rf"{re.escape(str(file))}:\d: not valid TOML: ", only)
    assert "line " in only or "end of document" in only


def test_a_file_in_another_encoding_is_told(write, tmp_path):
    file = tmp_path / "latin.toml"
    file.write_bytes('# a\nstore = "Mérapi"\n'.encode("latin-1"))
    (only,) = told(file)
    assert only == (
        f"{file}:2: not valid TOML: the file is not UTF-8 (byte 0xe9, which is 'é' in Latin-1); save it again as UTF-8"
    )
    file.write_bytes(SMALL.encode("utf-16"))
    (only,) = told(file)
    assert only == f"{file}:1: not valid TOML: the file is not UTF-8 but looks like UTF-16; save it again as UTF-8"


def test_a_byte_order_mark_and_windows_line_ends_change_nothing(write, tmp_path):
    file = tmp_path / "insar.toml"
    file.write_bytes(FULL.replace("\n", "\r\n").encode("utf-8-sig"))
    marked = load(file)
    assert marked == load(write(FULL))
    file.write_bytes(FULL.replace("\n", "\r\n").replace("folds = 3", "folds = 1").encode("utf-8-sig"))
    assert told(file)[0].startswith(f"{file}:15: [calibrate] folds: ")


@pytest.mark.parametrize(
    ("old", "new", "remedy"),
    [
        ("folds = 3", "fpr = 0,01", "write a decimal point, not a comma"),
        ("folds = 3", "folds = True", "write true or false in lower case"),
        ("folds = 3", "folds: 3", "write key = value"),
        ('"tanh"', "tanh", "put text between quotes"),
        ('"archive"', '"C:\\archive"', "write / for \\, or put the text between single quotes"),
        ("[calibrate]", "[calibrate", "close a section's name with the brackets that open it"),
        (
            "[calibrate]",
            '[channel]\nkind = "files"\n[calibrate]',
            "where there are several, write each with two brackets: [[channel]]",
        ),
    ],
)
def test_what_people_write_wrong_in_toml_is_told_with_what_mends_it(write, old, new, remedy):
    file = write(FULL.replace(old, new))
    (only,) = told(file)
    assert re.match(rf"{re.escape(str(file))}:\d+: not valid TOML: .*; {re.escape(remedy)}", only), only


def test_a_missing_file_is_told_with_the_command_that_makes_one(tmp_path):
    (only,) = told(tmp_path / "nowhere.toml")
    assert only.endswith(
        f"cannot be read (No such file or directory); `insar-anomaly config > {tmp_path}/nowhere.toml` makes one"
    )


def test_a_channel_whose_secret_is_not_in_the_environment_is_told_by_the_variables_name(write, monkeypatch):
    monkeypatch.delenv("HOOK_SECRET")
    file = write(FULL)
    assert told(file) == [f"{file}:24: [[channel]] secret_env: environment variable HOOK_SECRET is not set; give it a value"]
    mail = '[[channel]]\nkind = "email"\nhost = "h"\nsender = "s@t.org"\npassword_env = "MAIL_PASSWORD"\n'
    file = write(SMALL + mail)
    assert told(file) == [
        f"{file}:7: [[channel]] password_env: environment variable MAIL_PASSWORD is not set; give it a value"
    ]
    monkeypatch.setenv("MAIL_PASSWORD", "hunter2")
    assert "hunter2" not in repr(load(file))
    assert secret("MAIL_PASSWORD") == "hunter2"
    assert secret(None) is None


@pytest.mark.parametrize(
    "value",
    [
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "hunter2",
        "R0UT1NGKEY0123456789ABCDEF012345",
        "correct horse battery",
        "X" * 61,
    ],
)
def test_a_secret_in_the_place_of_its_variable_is_not_repeated(write, value):
    mail = '[[channel]]\nkind = "email"\nhost = "h"\nsender = "s@t.org"\npassword_env = "{}"\n'
    links = '[serve]\nurl = "https://example.org"\nsecret_env = "{}"\n'
    icinga = '[heartbeat]\nicinga_url = "https://i.org"\nicinga_host = "h"\nicinga_user = "u"\nicinga_password_env = "{}"\n'
    for line, text in ((7, mail), (5, links), (7, icinga)):
        file = write(SMALL + text.format(value))
        (only,) = told(file)
        assert value not in only
        assert only.startswith(f"{file}:{line}: ")
        assert "it may be the secret itself); write the name of a variable" in only
    with pytest.raises(ConfigError, match="write the name of a variable"):
        secret(value)
    file = write(SMALL + mail.replace('"{}"', f'["{value}"]'))
    assert not any(value in one for one in told(file))


def test_a_cluster_by_address_needs_an_address(write):
    file = write(SMALL + '[cluster]\nkind = "address"\n')
    assert told(file) == [f'{file}:4: [cluster] kind = "address" needs address = "tcp://host:port"']
    load(write(SMALL + '[cluster]\nkind = "address"\naddress = "tcp://127.0.0.1:8786"\n'))


# ------------------------------------------------------------------------------------------------------ environment


def test_the_environment_overrides_the_file_key_by_key(write, monkeypatch):
    monkeypatch.setenv("INSAR_ANOMALY_CALIBRATE__POLICY", "fpr")
    monkeypatch.setenv("INSAR_ANOMALY_INGEST__BATCH", "7")
    monkeypatch.setenv("INSAR_ANOMALY_STORE", "s3://bucket/store")
    config = load(write(FULL))
    assert (config.calibrate.policy, config.calibrate.folds) == ("fpr", 3)
    assert (config.ingest.batch, config.ingest.min_valid) == (7, 0.1)
    assert config.store == "s3://bucket/store"
    assert config.preprocess.range_form == "tanh"


def test_a_list_in_the_environment_is_json(write, monkeypatch):
    monkeypatch.setenv("INSAR_ANOMALY_SOURCE", '[{"url": "s3://other/archive"}]')
    assert load(write(FULL)).source == (SourceSettings(url="s3://other/archive"),)


def test_a_mistake_in_the_environment_names_the_variable_and_not_a_line_that_is_right(write, monkeypatch):
    monkeypatch.setenv("INSAR_ANOMALY_CALIBRATE__POLICY", "best")
    (only,) = told(write(FULL))
    assert only.startswith("environment variable INSAR_ANOMALY_CALIBRATE__POLICY: [calibrate] policy: give ")
    assert ', not "best". Meaning: ' in only


def test_a_misspelt_variable_of_a_section_is_told(write, monkeypatch):
    monkeypatch.setenv("INSAR_ANOMALY_CALIBRATE__POLCIY", "fpr")
    (only,) = told(write(FULL))
    assert "INSAR_ANOMALY_CALIBRATE__POLCIY: [calibrate] polciy: unknown key; did you mean policy?" in only


@pytest.mark.parametrize("value", ["archive", "[", "{"])
def test_a_list_in_the_environment_that_is_no_json_is_told(write, monkeypatch, value):
    monkeypatch.setenv("INSAR_ANOMALY_SOURCE", value)
    (only,) = told(write(FULL))
    assert '"source"' in only
    assert "JSON" in only


def test_a_preset_of_the_environment_takes_effect_like_one_of_the_file(write, monkeypatch):
    by_file = load(write('preset = "poster"\n' + FULL))
    assert (by_file.preprocess.range_rad, by_file.detector.options["layout"]) == (30, "windows")
    assert (by_file.preprocess.range_form, by_file.calibrate.policy) == ("tanh", "youden")  # the file's own words win
    monkeypatch.setenv("INSAR_ANOMALY_PRESET", "poster")
    assert load(write(FULL)) == by_file


def test_an_unknown_preset_is_told(write):
    file = write('preset = "postr"\n' + FULL)
    assert told(file)[0].startswith(f'{file}:1: preset: give "poster", not "postr". Meaning: ')


# ------------------------------------------------------------------------------------------------------ paths, frozen


def test_relative_paths_are_those_of_the_file_and_urls_and_absolute_paths_stay(write, tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    config = load(write(FULL.replace("[calibrate]", '[calibrate]\nlabels = "labels.csv"')))
    assert config.store == str(tmp_path / "here/store")
    assert config.ledger == f"sqlite:///{tmp_path}/here/ledger.sqlite"
    assert config.catalogue == str(tmp_path / "volcanoes.toml")
    assert config.figures == str(tmp_path / "figures")
    assert config.calibrate.labels == str(tmp_path / "labels.csv")
    assert [s.url for s in config.source] == [str(tmp_path / "archive"), "s3://bucket/archive"]
    assert [getattr(c, "folder", None) for c in config.channel] == [str(tmp_path / "notices"), None]
    absolute = load(write('store = "/var/store"\nledger = "sqlite:////var/ledger.sqlite"\ncatalogue = "~/volcanoes.csv"\n'))
    assert (absolute.store, absolute.ledger) == ("/var/store", "sqlite:////var/ledger.sqlite")
    assert absolute.catalogue == str(Path.home() / "volcanoes.csv")
    server = load(write('ledger = "postgresql://user@host/name"\n'))
    assert server.ledger == "postgresql://user@host/name"


def test_a_file_named_by_a_relative_path_resolves_alike(write, tmp_path, monkeypatch):
    absolute = load(write(FULL))
    monkeypatch.chdir(tmp_path)
    assert load("insar.toml") == absolute


def test_a_loaded_configuration_cannot_be_changed(write):
    config = load(write(FULL))
    with pytest.raises(ValidationError, match="frozen"):
        config.store = "elsewhere"
    with pytest.raises(ValidationError, match="frozen"):
        config.calibrate.folds = 5


# ------------------------------------------------------------------------------------------------------ [detector]


def mistakes(file: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_checked(file, volcanoes=False)
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ('kind = "padmi"', "detector kind = 'padmi': choose one of padim, matched_filter, ganomaly, diffusion, cnn"),
        ("strid = 4", "strid: unknown key; did you mean stride?"),
        ('weights = "insar"\nbackbone = "wide_resnet50_2"', 'weights = "insar" is a resnet18, not a wide_resnet50_2'),
        ("zzz = 4", "zzz: unknown key; padim has "),
        ('network = "x"', "network: unknown key"),
        ('stride = "four"', 'stride: give a whole number, not "four". Meaning: pixels per patch of the joint form'),
        ("ridge = [1]", "ridge: give a number, not [1]. Meaning: "),
        ('distance = "euclid"', 'distance: give "maha", "nlml", "wmaha" or "wnlml", not "euclid"'),
        ("layer_weights = [1, 2]", "layer_weights: give a list of 3 numbers, not [1, 2]. Meaning: "),
        ('kind = "ganomaly"\ndims = 3', "dims: unknown key; "),
    ],
)
def test_a_mistake_in_the_detectors_own_settings_is_told_with_the_nearest_key(write, lines, words):
    file = write(SMALL + "[detector]\n" + lines + "\n")
    said = mistakes(file)
    assert all(re.match(rf"{re.escape(str(file))}:\d+: \[detector\] ", one) for one in said)
    assert any(words in one for one in said), said


@pytest.mark.parametrize(
    ("kind", "lines", "words"),
    [
        ("padim", "top_percent = 0", ":4: [detector] top_percent = 0: give a number above 0 and at most 100"),
        ("padim", "ridge = -1", ":4: [detector] ridge = -1: give a number from 0 on"),
        (
            "padim",
            'layout = "windows"\nwindow_step = 200',
            ":5: [detector] window_step = 200: windows of 128 pixels",
        ),
        ("matched_filter", "block = 0", ":5: [detector] block = 0: give a number from 1 on"),
        ("matched_filter", "depths_km = [1, -2]", ":5: [detector] depths_km = [1, -2]: give a number above 0 in each place"),
        ("matched_filter", "depths_km = []", ":5: [detector] depths_km = []: give a number above 0"),
        ("ganomaly", "window = 100", ":5: [detector] window = 100: GANomaly halves it down to 4 pixels, give 16, 32, 64, "),
        ("ganomaly", "steps = 0", ":5: [detector] steps = 0: give a number from 1 on"),
        ("ganomaly", "learning_rate = 0", ":5: [detector] learning_rate = 0: give a number above 0"),
        ("ganomaly", "stride = 129", ":5: [detector] stride = 129: windows of 128 pixels need a stride from 1 to 128"),
        ("ganomaly", 'device = "gpu"', ":5: [detector] device = 'gpu': give cpu, cuda or cuda:NUMBER"),
        (
            "diffusion",
            "window = 100",
            ":5: [detector] window = 100: 5 levels halve it to its 16th part, give a multiple",
        ),
        ("diffusion", "steps = 0\nbatch = 0", ":6: [detector] batch = 0: give a number from 1 on"),
        ("diffusion", "noise_to = 1001", ":5: [detector] noise_to = 1001: give a number from 1 to 1000"),
        ("diffusion", "train_to = 50", ":3: [detector] noise_to = 100: give at most train_to, which is 50"),
        ("cnn", "window = 62", ":5: [detector] window = 62: AlexNet needs patches of at least 63 pixels"),
        ("cnn", "dropout = 1.0", ":5: [detector] dropout = 1.0: give a number from 0 on and below 1"),
        ("cnn", "peak_cm = [8, 2]", ":5: [detector] peak_cm = (8, 2): give the smaller number first"),
    ],
)
def test_what_a_detector_itself_refuses_is_told_before_the_fit_with_its_line(write, kind, lines, words):
    head = "[detector]\n" if kind == "padim" else f'[detector]\nkind = "{kind}"\n'
    said = mistakes(write(SMALL + head + lines + "\n"))
    assert any(words in one for one in said), said
    assert len(said) == len([line for line in lines.splitlines() if not line.startswith("layout")])


def test_a_detectors_number_from_the_environment_is_a_number(write, monkeypatch):
    monkeypatch.setenv("INSAR_ANOMALY_DETECTOR__STRIDE", "4")
    assert load_checked(write(SMALL), volcanoes=False).detector.options == {"stride": 4}
    monkeypatch.setenv("INSAR_ANOMALY_DETECTOR__STRIDE", "5")
    assert "stride = 5: patches are 4, 8 or 16 pixels wide" in mistakes(write(SMALL))[0]


def test_several_wrong_values_of_a_detector_are_told_at_once(write):
    file = write(SMALL + '[detector]\nstride = "four"\ndistance = "euclid"\n')
    assert len(mistakes(file)) == 2


def test_a_detectors_right_settings_pass(write):
    file = write(SMALL + '[detector]\nstride = 4\ndistance = "wmaha"\nlayer_weights = [0, 1, 5]\nridge = 1\n')
    config = load_checked(file, volcanoes=False)
    assert config.detector.options == {"stride": 4, "distance": "wmaha", "layer_weights": [0, 1, 5], "ridge": 1}


def test_mistakes_of_every_kind_are_told_at_once_each_with_its_line(write, monkeypatch):
    monkeypatch.setenv("INSAR_ANOMALY_CALIBRAT__POLICY", "fpr")
    text = (
        'ledger = "mysql://host/ledger"\n[[source]]\nurl = "htp://host/archive"\n[detector]\nstrid = 4\n'
        '[[channel]]\nkind = "files"\nfolder = "ftp://host/notices"\n'
    )
    lines = mistakes(write(text.replace("[[channel]]", '[cluster]\nkind = "address"\n[[channel]]')))
    wanted = ["INSAR_ANOMALY_CALIBRAT__POLICY", "[cluster]", ":5: [detector] strid"]
    assert [any(word in line for line in lines) for word in wanted] == [True] * 3, lines
    monkeypatch.delenv("INSAR_ANOMALY_CALIBRAT__POLICY")
    lines = mistakes(write(text))
    wanted = [":1: the ledger cannot live in", ':3: [[source]] url: "htp:', ":5: [detector] strid", ":6: [[channel]] files"]
    assert [any(word in line for line in lines) for word in wanted] == [True] * 4, lines


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ('[[channel]]\nkind = "email"\nhost = "h"\nsender = "nobody"\n', "sender: 'nobody' is not an e-mail"),
        ('[[channel]]\nkind = "email"\nhost = "h"\nsender = "a@b.c"\nrecipients = ["x"]\n', "'x' is not an e-mail address"),
        (
            '[[channel]]\nkind = "webhook"\nurl = "https://h/x"\nsecret_env = "NO_SECRET"\n',
            "the webhook's secret must be whsec_ followed by base64",
        ),
        (
            '[[channel]]\nkind = "email"\nhost = "h"\nsender = "a@b.c"\nusername = "u"\nstarttls = false\n',
            "would send a password unencrypted",
        ),
    ],
)
def test_a_channel_that_could_never_deliver_is_told_before_the_night(write, monkeypatch, more, words):
    monkeypatch.setenv("NO_SECRET", "not base64!")
    said = "\n".join(mistakes(write(SMALL + more)))
    assert words in said


@pytest.mark.parametrize("scheme", ["ftp", "gs", "S3", "memory", "simplecache::s3"])
@pytest.mark.parametrize("kind", ["licsar", "hyp3", "aria"])
def test_a_source_behind_a_protocol_that_its_kind_cannot_read_is_refused_with_those_that_it_can(write, kind, scheme):
    text = f'[[source]]\nurl = "{{}}://host/frames"\nkind = "{kind}"\n'
    said = mistakes(write(text.format(scheme)))
    assert len(said) == 1, said
    words = f':2: [[source]] url: "{scheme}://host/frames": kind {kind} reads no {scheme}://; write a path, file://, s3://'
    assert words in said[0]
    for known in ("s3", "http", "https"):
        load_checked(write(text.format(known)), volcanoes=False)


def test_figures_are_not_written_to_a_url(write):
    assert any("not to a URL" in line for line in mistakes(write('figures = "s3://bucket/x"\n' + SMALL)))


def test_the_catalogue_is_checked_with_the_file_unless_it_is_not_needed(write):
    file = write(SMALL)
    load_checked(file, volcanoes=False)
    with pytest.raises(ConfigError, match=r"volcanoes\.toml: cannot be read"):
        load_checked(file)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (
            'store = "gs://bucket"',
            'gs://bucket" cannot be written to; the store can be a folder, file:// or s3://bucket/prefix',
        ),
        ('store = "s3//bucket/x"', "looks like a URL without ://; write s3://bucket/prefix"),
        ('store = ""', "names no folder or bucket"),
        ('preset = "poster"\n[detector]\nkind = "ganomaly"', "is a form of padim, not of ganomaly"),
        ('[storage]\nendpoint_url = "127.0.0.1:9000"', "[storage] endpoint_url"),
        ('[calibrate]\nlabels = "none.csv"', "none.csv is no file"),
        ("[detector]\nstride = 5", "stride = 5: patches are 4, 8 or 16"),
        ("[detector]\ndims = -4", "dims = -4"),
        ('[detector]\naggregate = "authors"', "blends windows"),
    ],
)
def test_what_could_never_work_is_told_before_the_fit(write, lines, words):
    said = mistakes(write(lines + "\n" + SMALL))
    assert len(said) == 1, said
    assert words in said[0]


@pytest.mark.parametrize("url", ["s3//bucket/x", "s3:/bucket/x", "...", "s3://"])
def test_a_source_that_is_no_place_is_told(write, url):
    assert "[[source]] url" in "\n".join(mistakes(write(f'[[source]]\nurl = "{url}"\n')))


# ------------------------------------------------------------------------------------- every setting, every sort of mistake

WRONG = ["null-text", "", -1, 0, 10**9, 2.5, True, math.nan, math.inf, [], ["x"], [-1], [[1]], {"a": 1}]
"""One value of each sort; a setting that takes one of them is not wrong and is left out."""
PYDANTIC = re.compile(
    "Input should|should be a valid|should have|Value error|Field required|Extra inputs|match pattern|Unable to|valid dict|"
    "instance of|at most \\d+ items|at least \\d+ items|valid tuple|tag '|greater than|less than"
)


REMEDY = re.compile(
    r": (item \d+: )?give |; write |; the store can be |not to a URL|is not set; give|headed \[\[|no \[\[channel"
)


def settings_of(model: type[BaseModel], *before: str) -> Iterator[tuple[str, ...]]:
    """Places of every setting of a model, tables opened."""
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from settings_of(inner, *before, name)
        else:
            yield (*before, name)


TABLES: dict[str, dict[str, type[BaseModel]]] = {
    "source": dict.fromkeys(SOURCES.own, SourceSettings),
    "channel": {kind: CHANNELS.load(kind, ChannelKind).settings for kind in CHANNELS.own},
    "route": {"": RouteSettings},
}
PLACES = {
    *(place for place in settings_of(Config) if place[0] not in (*TABLES, "detector")),
    *((name, key) for name, kinds in TABLES.items() for model in kinds.values() for key in model.model_fields),
}


def as_file(place: tuple[str, ...], value: object, kind: object) -> str:
    """A configuration with nothing but this value, and the kind of the table where that is asked for."""

    def toml(one: object) -> str:
        if isinstance(one, dict):
            return "{" + ", ".join(f"{k} = {toml(v)}" for k, v in one.items()) + "}"
        return f"[{', '.join(map(toml, one))}]" if isinstance(one, list) else as_toml(one)

    line = f"{place[-1]} = {toml(value)}\n"
    if len(place) == 1:
        return line
    if place[0] not in TABLES:
        return f"[{place[0]}]\n{line}"
    chosen = f'kind = "{kind}"\n' if place[-1] != "kind" and kind else ""
    return f"[[{place[0]}]]\n{chosen}{line}"


def kinds_of(place: tuple[str, ...]) -> list[str]:
    """The kinds of table that have the key; one empty word where a table has no kind."""
    return [kind for kind, model in TABLES.get(place[0], {}).items() if place[-1] in model.model_fields] or [""]


@pytest.mark.parametrize("place", sorted(PLACES), ids=".".join)
def test_every_wrong_value_of_every_setting_is_told_in_our_words_with_its_place_and_a_remedy(place, write):
    wrong = 0
    for kind, value in product(kinds_of(place), WRONG):
        file = write(as_file(place, value, kind))
        try:
            load(file)
        except ConfigError as caught:
            said = str(caught).splitlines()
        else:
            continue
        assert not PYDANTIC.search("\n".join(said)), said
        section = f"[[{place[0]}]] " if place[0] in TABLES else f"[{place[0]}] " if len(place) == 2 else ""
        mine = [one for one in said if re.match(rf"{re.escape(f'{file}:')}\d+: {re.escape(section)}{place[-1]}: ", one)]
        if not mine:  # right by itself, and something else that the table needs is missing
            assert all(": missing; give " in one or " needs " in one for one in said), said
            continue
        wrong += 1
        assert len(mine) == 1
        line = int(mine[0].removeprefix(f"{file}:").partition(":")[0])
        assert file.read_text().splitlines()[line - 1].startswith(f"{place[-1]} = ")
        assert REMEDY.search(mine[0]), mine
    assert wrong, f"no value of {place} is wrong"


@pytest.mark.parametrize("kind", DETECTORS.kinds)
def test_every_wrong_value_of_a_detectors_own_settings_is_told_in_our_words(kind, write):
    names = re.findall(
        r"^# (\w+) =",
        printed().partition(f'# settings of kind = "{kind}":')[2].split("\n\n")[0].partition("# settings")[0],
        re.M,
    )
    assert len(names) > 3
    for name in names:
        wrong = 0
        for value in WRONG:
            file = write(
                SMALL + as_file(("detector", name), value, "").replace("[detector]", f'[detector]\nkind = "{kind}"')
            )
            try:
                load_checked(file, volcanoes=False)
            except ConfigError as caught:
                said = str(caught).splitlines()
                wrong += 1
                assert not PYDANTIC.search("\n".join(said)), said
                assert all(re.match(rf"{re.escape(f'{file}:')}[35]: \[detector\] ", one) for one in said), said
        assert wrong, f"no value of {name} is wrong"
