"""The catalogue: TOML and CSV alike, every mistake told, boxes in kilometres, excluded ground."""

from __future__ import annotations

import csv
import io
import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from insar_anomaly.catalogue.read import load
from insar_anomaly.catalogue.volcano import Box, Volcano
from insar_anomaly.errors import CatalogueError
from insar_anomaly.files import lines

TAAL = {"gvp": 273070, "name": "Taal", "lat": 14.0106, "lon": 120.9975, "frames": ("032D_07536_111313", "142A_07606_131313")}

TOML = """
[[volcano]]
gvp = 273070
name = "Taal"
lat = 14.0106
lon = 120.9975
frames = ["032D_07536_111313", "142A_07606_131313"]
contacts = ["duty@example.org", "second@example.org"]

[[volcano]]
gvp = 354010
name = "Casiri"
lat = -17.47
lon = -69.813
frames = ["054D_10755_131313"]
box_km = 30
"""

CSV = """\
gvp,name,lat,lon,frames,box_km,contacts
273070,Taal,14.0106,120.9975,032D_07536_111313; 142A_07606_131313,,duty@example.org;second@example.org
354010,Casiri,-17.47,-69.813,054D_10755_131313,30,
"""


def written(folder: Path, text: str, name: str = "volcanoes.toml") -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def mistakes(folder: Path, text: str, name: str = "volcanoes.toml") -> str:
    """What `load` says of a wrong catalogue; every line of it names the file."""
    file = written(folder, text, name)
    with pytest.raises(CatalogueError) as caught:
        load(file)
    said = str(caught.value)
    assert all(line.startswith(f"{file}: ") for line in said.splitlines())
    return said


def test_toml_and_csv_give_the_same_volcanoes(tmp_path):
    toml = load(written(tmp_path, TOML))
    assert toml == load(written(tmp_path, CSV, "volcanoes.csv"))
    assert toml == load(written(tmp_path, "\ufeff" + CSV.replace("\n", "\r\n"), "excel.CSV"))
    taal, casiri = toml
    assert taal == Volcano(**TAAL, contacts=("duty@example.org", "second@example.org"))
    assert (casiri.box_km, casiri.contacts, taal.box_km) == (30, (), 50)
    assert taal.stacks == ("273070/032D_07536_111313", "273070/142A_07606_131313")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("273070", "27307", "gvp: give a whole number from 100000 to 999999, not {}. Meaning: volcano number of the Smith"),
        ("273070", "2730700", "gvp: give a whole number from 100000 to 999999, not {}"),
        ("273070", "273070.5", "gvp: give a whole number from 100000 to 999999, not {}"),
        ("14.0106", "94", "lat: give a number from -90 to 90, not {}. Meaning: latitude in degrees, north positive"),
        ("120.9975", "400", "lon: give a number from -180 to 360, not {}"),
        ("-17.47", "nan", "lat: give a number from -90 to 90, not {}"),
    ],
)
def test_a_wrong_value_is_told_with_its_entry_and_value_in_either_format(tmp_path, old, new, told):
    place = 2 if old == "-17.47" else 1
    said = mistakes(tmp_path, TOML.replace(old, new, 1))
    assert f": [[volcano]] number {place} (" in said
    assert told.format(new) in said
    said = mistakes(tmp_path, CSV.replace(old, new, 1), "v.csv")
    assert f": line {place + 1}: " in said
    assert told.format(f'"{new}"') in said


@pytest.mark.parametrize(
    ("lat", "reached"),
    [("89.97", "the pole"), ("90", "the pole"), ("-90", "the pole"), ("89.2", "latitude 89.42"), ("-86", "latitude -86.22")],
)
def test_a_box_at_a_pole_is_refused_with_its_entry_and_values_in_either_format(tmp_path, lat, reached):
    told = f"lat = {lat} with box_km = 50: the box reaches {reached}, and grids in degrees end at 86 north and south"
    said = mistakes(tmp_path, TOML.replace("14.0106", lat))
    assert f": line 5: [[volcano]] number 1 (Taal): {told}: correct lat" in said
    assert "make box_km smaller" not in said
    said = mistakes(tmp_path, CSV.replace("14.0106", lat), "v.csv")
    assert f": line 2: {told}: correct lat" in said


def test_a_smaller_box_is_advised_where_one_fits(tmp_path):
    assert "correct lat, or make box_km smaller" in mistakes(tmp_path, TOML.replace("14.0106", "85.9"))


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        (
            {"frames": ()},
            'frames: give a list of one or more texts, each between quotes, such as ["079D_07694_131313"], not []',
        ),
        ({"frames": ("A", "A")}, "a frame is listed twice"),
        ({"frames": ("A/B",)}, "'A/B' is not the name of a frame"),
        ({"frames": ("",)}, "'' is not the name of a frame"),
        ({"frames": (" A",)}, "' A' is not the name of a frame"),
        ({"box_km": 1}, "box_km: give a number above 1 and at most 500, not 1. Meaning: side, km, of "),
        ({"box_km": 501}, "box_km: give a number above 1 and at most 500, not 501"),
        ({"name": ""}, 'name: give text between quotes, such as "Erta Ale", not ""'),
        ({"frame": "A"}, "frame: unknown key; did you mean frames?"),
        ({"lat": "north"}, 'lat: give a number from -90 to 90, not "north"'),
    ],
)
def test_every_key_of_an_entry_is_checked(tmp_path, entry, told):
    def toml(value: object) -> str:
        return (
            f"[{', '.join(map(toml, value))}]"
            if isinstance(value, tuple)
            else f'"{value}"'
            if isinstance(value, str)
            else f"{value}"
        )

    lines = "\n".join(f"{k} = {toml(v)}" for k, v in (TAAL | entry).items())
    assert told in mistakes(tmp_path, f"[[volcano]]\n{lines}")


def test_a_missing_key_is_told_by_its_name_without_a_value(tmp_path):
    said = mistakes(tmp_path, TOML.replace("lat = 14.0106\n", ""))
    assert said.endswith(
        ": line 2: [[volcano]] number 1 (Taal): lat: missing; give a number from -90 to 90. Meaning: latitude "
        "in degrees, north positive"
    )
    assert ": line 2: lat: missing; give a number from -90 to 90" in mistakes(tmp_path, CSV.replace("14.0106", ""), "v.csv")


def test_all_mistakes_are_told_at_once(tmp_path):
    said = mistakes(tmp_path, TOML.replace("273070", "1").replace("-17.47", "-170").replace("box_km", "box"))
    assert [line.partition(": [[volcano]] ")[2].split(": ")[0] for line in said.splitlines()] == [
        "number 1 (Taal)",
        "number 2 (Casiri)",
        "number 2 (Casiri)",
    ]


def test_a_volcano_that_stands_twice_is_told_with_both_names(tmp_path):
    said = mistakes(tmp_path, TOML.replace("354010", "273070"))
    assert "volcano 273070 is listed twice (Taal, Casiri): keep one entry with all its frames" in said


@pytest.mark.parametrize("text", ["", "volcano = []", "# nothing\n"])
def test_a_catalogue_without_a_volcano_is_a_mistake(tmp_path, text):
    assert "holds no volcano" in mistakes(tmp_path, text)


@pytest.mark.parametrize("text", ["", "gvp,name,lat,lon,frames\n"])
def test_a_table_without_a_row_is_a_mistake(tmp_path, text):
    assert "holds no volcano" in mistakes(tmp_path, text, "v.csv")


def test_an_unknown_table_is_told(tmp_path):
    assert "unknown key 'volcanoes'" in mistakes(tmp_path, TOML.replace("[[volcano]]", "[[volcanoes]]"))


@pytest.mark.parametrize("text", ["[volcano]\ngvp = 273070\n", "volcano = 3\n", "volcano = [1, 2]\n", 'volcano = "Taal"\n'])
def test_a_single_bracket_or_a_plain_value_is_told(tmp_path, text):
    assert "[[volcano]]" in mistakes(tmp_path, text)


def test_a_file_that_is_no_toml_is_told(tmp_path):
    assert "not a valid catalogue" in mistakes(tmp_path, TOML.replace("lat = 14.0106", "lat = 14,0106"))


def test_a_toml_file_in_another_encoding_is_told_with_its_line(tmp_path):
    file = tmp_path / "volcanoes.toml"
    file.write_bytes(TOML.replace("Casiri", "Mérapi").encode("latin-1"))
    with pytest.raises(CatalogueError, match=r"toml: line 12: not a valid catalogue: the file is not UTF-8 \(byte 0xe9"):
        load(file)
    file.write_bytes(TOML.encode("utf-16"))
    with pytest.raises(CatalogueError, match=r"toml: line 1: not a valid catalogue: .* UTF-16; save it again as UTF-8"):
        load(file)
    file.write_bytes(TOML.replace("\n", "\r\n").encode("utf-8-sig"))
    assert [volcano.name for volcano in load(file)] == ["Taal", "Casiri"]


def test_a_row_with_more_cells_than_columns_and_a_broken_quote_are_told(tmp_path):
    assert ": line 2: " in mistakes(tmp_path, CSV.replace("second@example.org\n", "second@example.org,more\n"), "v.csv")
    assert "not a valid catalogue" in mistakes(tmp_path, CSV + '273071,"Ta"al,1,2,A,,\n', "v.csv")


def test_empty_rows_are_skipped_and_polygons_are_read_from_csv(tmp_path):
    header, first, second = CSV.splitlines()
    text = f"{header},exclude\n{first},120.9 14.0; 121.0 14.0; 121.0 14.1 | 1 2;3 4;5 6\n,,,,,,,\n\n{second},\n"
    taal, casiri = load(written(tmp_path, text, "v.csv"))
    assert taal.exclude == (((120.9, 14.0), (121.0, 14.0), (121.0, 14.1)), ((1, 2), (3, 4), (5, 6)))
    assert casiri.exclude == ()
    assert "exclude" in mistakes(tmp_path, f"{header},exclude\n{first},120.9 14.0; somewhere\n", "w.csv")


# ------------------------------------------------------------------------------------------- tables as people save them

EXPECTED = "the first line names the columns: gvp, name, lat, lon, frames, and, where wanted, box_km, exclude, contacts"


def semicolons(text: str) -> str:
    """As a spreadsheet of a country with decimal commas saves it: lists between quotes, numbers with a comma."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter=";", lineterminator="\r\n")
    for row in csv.reader(io.StringIO(text)):
        writer.writerow([re.sub(r"^(-?\d+)\.(\d+)$", r"\1,\2", cell) for cell in row])
    return out.getvalue()


def tabs(text: str) -> str:
    return "\n".join("\t".join(row) for row in csv.reader(io.StringIO(text)))


def gvp_names(text: str) -> str:
    """GVP's own titles, and a column of GVP's that is not needed."""
    first, *rest = text.splitlines()
    titles = first.replace("gvp,name,lat,lon", "Volcano Number,VOLCANO NAME,latitude, Longitude ")
    return "\n".join(["Country," + titles, *(f"Peru,{row}" for row in rest)])


@pytest.mark.parametrize("change", [str, semicolons, tabs, gvp_names], ids=lambda change: change.__name__)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_table_is_read_as_spreadsheets_save_it(tmp_path, change, encoding, end):
    file = tmp_path / "v.csv"
    text = change(CSV.replace("Casiri", "Mérapi"))
    file.write_bytes(text.replace("\r\n", "\n").replace("\n", end).encode(encoding))
    plain = load(written(tmp_path, TOML.replace("Casiri", "Mérapi")))
    assert load(file) == plain


@pytest.mark.parametrize("between", [";", "; ", " ", '","', '", "'])
def test_frames_of_a_table_are_separated_by_semicolon_space_or_quoted_comma(tmp_path, between):
    cell = between.strip('"').join(TAAL["frames"])
    cell = f'"{cell}"' if "," in cell else cell
    text = CSV.replace("032D_07536_111313; 142A_07606_131313", cell)
    assert load(written(tmp_path, text, "v.csv"))[0].frames == TAAL["frames"]


@pytest.mark.parametrize(
    ("header", "told"),
    [
        (
            "221080,Erta Ale,13.6,40.7,A",
            f"line 1: not a valid catalogue: no column has a name that is known here; {EXPECTED}",
        ),
        ("gvp,nmae,lat,lon,frames", "line 1: not a valid catalogue: unknown column 'nmae'; did you mean name?"),
        ("gvp,name,lat,lon,frames,zzz", f"line 1: not a valid catalogue: unknown column 'zzz'; {EXPECTED}"),
        (
            "gvp,name,lat,Latitude,lon,frames",
            "line 1: not a valid catalogue: the columns 'lat' and 'Latitude' both mean lat",
        ),
        (
            "Volcano Number,Volcano Name,Latitude,Longitude",
            f"line 1: not a valid catalogue: there is no column frames; {EXPECTED}",
        ),
    ],
)
def test_columns_that_leave_something_open_are_told_with_the_expected_ones(tmp_path, header, told):
    assert told in mistakes(tmp_path, f"{header}\n221080,Erta Ale,13.6,40.7,A,,\n", "v.csv")


def test_an_encoding_that_cannot_be_known_is_told_with_its_line(tmp_path):
    file = tmp_path / "v.csv"
    for encoding in ("mac-roman", "cp850"):
        file.write_bytes(CSV.replace("Casiri", "Mérapi").encode(encoding))
        with pytest.raises(CatalogueError, match=r"line 3: not a valid catalogue: .* neither UTF-8 nor Latin-1 \(byte 0x8"):
            load(file)


def test_a_frame_with_a_sign_that_no_frame_has_is_told(tmp_path):
    said = mistakes(tmp_path, CSV.replace("; 142A", "|142A"), "v.csv")
    assert "line 2: frames: '032D_07536_111313|142A_07606_131313' is not the name of a frame; write letters, digits" in said


def test_a_latitude_that_can_only_be_a_longitude_is_told_as_swapped(tmp_path):
    swapped = TOML.replace("lat = 14.0106\nlon = 120.9975", "lat = 120.9975\nlon = 14.0106")
    said = mistakes(tmp_path, swapped)
    assert "line 5: [[volcano]] number 1 (Taal): lat: give a number from -90 to 90, not 120.9975; lat and lon seem" in said
    assert "seem to be swapped" in mistakes(tmp_path, CSV.replace("14.0106,120.9975", "120.9975,14.0106"), "v.csv")
    assert "swapped" not in mistakes(tmp_path, TOML.replace("14.0106", "94"))


@pytest.mark.parametrize("contact", ["duty", "duty@", "@example.org", "duty@exam ple.org", "duty@example.org\nBcc: x@y.z"])
def test_a_contact_that_is_no_address_is_told(tmp_path, contact):
    said = mistakes(tmp_path, TOML.replace('"duty@example.org"', repr(contact).replace("'", '"')))
    assert "contacts" in said
    assert "is not an e-mail address" in said


@pytest.mark.parametrize("name", ["nowhere.toml", "nowhere.csv"])
def test_a_missing_file_is_told_with_the_remedy(tmp_path, name):
    with pytest.raises(
        CatalogueError, match=r"nowhere\.\w+: cannot be read \(No such file or directory\); name a catalogue"
    ):
        load(tmp_path / name)


# ------------------------------------------------------------------------------------------------------ docs/catalogue.md

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "catalogue.md"


def examples() -> list[tuple[str, str]]:
    """Language and text of every example in the document."""
    return re.findall(r"^```(\w+)\n(.*?)^```", DOCUMENT.read_text(encoding="utf-8"), re.M | re.S)


def test_the_examples_of_the_document_are_the_same_catalogue_in_toml_and_csv(tmp_path):
    (first, toml), (second, table), (third, spreadsheet) = examples()
    assert (first, second, third) == ("toml", "csv", "csv")
    volcanoes = load(written(tmp_path, toml))
    assert load(written(tmp_path, table, "v.csv")) == volcanoes
    assert volcanoes[0].exclude
    assert volcanoes[0].contacts
    assert len(volcanoes[0].frames) == 2
    named = [(v.gvp, v.name, v.lat, v.lon, v.frames) for v in volcanoes]
    assert [(v.gvp, v.name, v.lat, v.lon, v.frames) for v in load(written(tmp_path, spreadsheet, "s.csv"))] == named


def test_the_document_describes_every_column_and_which_are_needed():
    rows = dict(re.findall(r"^\| `(\w+)` \| (yes|no) \|", DOCUMENT.read_text(encoding="utf-8"), re.M))
    assert rows == {name: "yes" if field.is_required() else "no" for name, field in Volcano.model_fields.items()}


# ------------------------------------------------------------------------------------------------------ boxes


def haversine_km(lat1: float, lon1: float, lat2: float, lon2: float) -> float:
    """Distance on a sphere of mean radius."""
    a, b, dl = math.radians(lat1), math.radians(lat2), math.radians(lon2 - lon1)
    h = math.sin((b - a) / 2) ** 2 + math.cos(a) * math.cos(b) * math.sin(dl / 2) ** 2
    return 2 * 6371.0088 * math.asin(math.sqrt(h))


@given(st.floats(-75, 75), st.floats(-179, 179), st.floats(2, 100))
@example(63.633, -19.633, 50.0)
def test_the_box_is_as_wide_and_high_in_kilometres_as_it_says(lat, lon, side):
    volcano = Volcano(**TAAL | {"lat": lat, "lon": lon, "box_km": side})
    box: Box = volcano.box
    assert haversine_km(box.south, lon, box.north, lon) == pytest.approx(side, rel=0.005)
    assert haversine_km(lat, box.west, lat, box.east) == pytest.approx(side, rel=0.005)
    assert (box.south + box.north) / 2 == pytest.approx(lat, abs=1e-9)
    assert (box.west + box.east) / 2 == pytest.approx(lon, abs=1e-9)


# ------------------------------------------------------------------------------------------------------ excluded ground


def winding(polygon: list[tuple[float, float]], x: float, y: float) -> bool:
    """Slow oracle: the angles under which a point sees the outline add up to a whole turn where it lies inside."""
    total = 0.0
    for (x1, y1), (x2, y2) in zip(polygon, polygon[1:] + polygon[:1], strict=True):
        a, b = math.atan2(y1 - y, x1 - x), math.atan2(y2 - y, x2 - x)
        total += (b - a + math.pi) % (2 * math.pi) - math.pi
    return abs(total) > math.pi


def near_outline(polygon: list[tuple[float, float]], x: float, y: float) -> bool:
    for (x1, y1), (x2, y2) in zip(polygon, polygon[1:] + polygon[:1], strict=True):
        long = (x2 - x1) ** 2 + (y2 - y1) ** 2
        t = 0.0 if long == 0 else min(1.0, max(0.0, ((x - x1) * (x2 - x1) + (y - y1) * (y2 - y1)) / long))
        if math.hypot(x - x1 - t * (x2 - x1), y - y1 - t * (y2 - y1)) < 1e-6:
            return True
    return False


@st.composite
def star_shaped(draw: st.DrawFn) -> list[tuple[float, float]]:
    """A simple polygon around (0.5, 0.5), convex or not, wound either way."""
    n = draw(st.integers(3, 9))
    radii = draw(st.lists(st.floats(0.05, 0.6), min_size=n, max_size=n))
    turn = draw(st.floats(0, 6))
    # equal angles below half a turn keep the outline simple and the centre inside
    corners = [
        (0.5 + r * math.cos(turn + 2 * math.pi * i / n), 0.5 + r * math.sin(turn + 2 * math.pi * i / n))
        for i, r in enumerate(radii)
    ]
    return corners[::-1] if draw(st.booleans()) else corners


def excluding(*polygons: list[tuple[float, float]]) -> Volcano:
    return Volcano(**TAAL, exclude=tuple(tuple(p) for p in polygons))


LAT, LON = np.linspace(1, 0, 17), np.linspace(0, 1, 13)


@settings(deadline=None)
@given(star_shaped())
@example([(0.2, 0.2), (0.8, 0.2), (0.8, 0.8), (0.2, 0.8)])
@example([(0.1, 0.1), (0.9, 0.1), (0.9, 0.9), (0.5, 0.3), (0.1, 0.9)])
def test_excluded_ground_is_what_a_slow_point_in_polygon_rule_says(polygon):
    found = excluding(polygon).excluded(LAT, LON)
    assert found.shape == (17, 13)
    for i, y in enumerate(LAT):
        for j, x in enumerate(LON):
            if not near_outline(polygon, x, y):
                assert found[i, j] == winding(polygon, x, y), (x, y)


def test_a_square_in_degrees_covers_exactly_its_pixels_with_latitude_downwards():
    lat, lon = 10.05 - 0.1 * np.arange(10), 20.05 + 0.1 * np.arange(10)
    found = excluding([(20.2, 9.7), (20.5, 9.7), (20.5, 10.0), (20.2, 10.0)]).excluded(lat, lon)
    wanted = np.zeros((10, 10), bool)
    wanted[1:4, 2:5] = True
    np.testing.assert_array_equal(found, wanted)


def test_the_notch_of_a_concave_polygon_stays_in_view():
    lat, lon = np.array([0.9, 0.5, 0.1]), np.array([0.1, 0.5, 0.9])
    u_shape = [(0, 0), (1, 0), (1, 1), (0.7, 1), (0.7, 0.3), (0.3, 0.3), (0.3, 1), (0, 1)]
    np.testing.assert_array_equal(
        excluding(u_shape).excluded(lat, lon), [[True, False, True], [True, False, True], [True, True, True]]
    )


def test_overlapping_polygons_cover_their_union_without_a_hole_and_a_closed_outline_is_the_same_as_an_open_one():
    a, b = [(0.1, 0.1), (0.7, 0.1), (0.7, 0.7), (0.1, 0.7)], [(0.4, 0.4), (0.9, 0.4), (0.9, 0.9), (0.4, 0.9)]
    both = excluding(a, b).excluded(LAT, LON)
    np.testing.assert_array_equal(both, excluding(a).excluded(LAT, LON) | excluding(b).excluded(LAT, LON))
    assert both[np.argmin(abs(LAT - 0.55)), np.argmin(abs(LON - 0.55))]
    np.testing.assert_array_equal(excluding([*a, a[0]]).excluded(LAT, LON), excluding(a).excluded(LAT, LON))


def test_nothing_is_excluded_where_no_polygon_is_given():
    assert not excluding().excluded(LAT, LON).any()


def test_polygons_are_read_from_toml(tmp_path):
    (first, _) = load(written(tmp_path, TOML.replace("contacts", "exclude = [[[0, 0], [1, 0], [0, 1]]]\ncontacts", 1)))
    assert first.exclude == (((0, 0), (1, 0), (0, 1)),)


class Counting:
    """A pattern that counts the lines that it was tried on."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self.pattern, self.tried = pattern, 0

    def match(self, line: str) -> re.Match[str] | None:
        self.tried += 1
        return self.pattern.match(line)


@pytest.mark.parametrize("volcanoes", [20, 400])
@pytest.mark.parametrize("lat", [14.0, 114.0])
def test_a_catalogue_is_searched_once_for_its_lines_however_many_volcanoes_and_mistakes_it_has(
    volcanoes, lat, tmp_path, monkeypatch
):
    header = Counting(lines._HEADER)
    monkeypatch.setattr(lines, "_HEADER", header)
    entry = '[[volcano]]\ngvp = {}\nname = "Taal"\nlat = {}\nlon = 120.9975\nframes = ["032D_07536_111313"]\n'
    text = "".join(entry.format(273070 + number, lat) for number in range(volcanoes))
    if lat > 90:
        assert f"line {6 * volcanoes - 2}: [[volcano]] number {volcanoes} (Taal): lat" in mistakes(tmp_path, text)
    else:
        assert len(load(written(tmp_path, text))) == volcanoes
    assert header.tried == 6 * volcanoes


def test_a_list_over_several_lines_is_no_header(tmp_path):
    ring = "exclude = [\n  [[40.6, 13.5], [40.7, 13.5],\n   [40.7, 13.6]],\n]\n"
    said = mistakes(tmp_path, TOML.replace("box_km = 30", f"{ring}box_km = -3"))
    assert ": line 20: [[volcano]] number 2 (Casiri): box_km" in said


@pytest.mark.parametrize(
    ("polygons", "words"),
    [
        ("[[[40.0, 10.0], [40.1, 10.1]]]", "polygon 1 has 2 corners: give 3 or more, or remove it"),
        (
            "[[[40.0, 10.0], [40.1, 10.1], [40.1]]]",
            "polygon 1, corner 3: [40.1] is not two numbers: a corner is lon and lat",
        ),
        ('[[["a", 10.0], [40.1, 10.1], [40.1, 10.2]]]', "polygon 1, corner 1: ['a', 10.0] is not two numbers"),
        (
            "[[40.0, 10.0], [40.1, 10.1], [40.1, 10.2]]",
            "polygon 1, corner 1: 40.0 is no corner: write each polygon as a list",
        ),
        (
            "[[[40.0, 10.0], [40.1, 10.0], [40.1, 10.1]], [[10.0, 140.0], [10.1, 140.0], [10.1, 140.1]]]",
            "polygon 2, corner 1: [10.0, 140.0]: latitude 140 is beyond 90: a corner is lon and lat, in this order; lon",
        ),
    ],
)
def test_a_mistake_inside_a_polygon_names_the_polygon_the_corner_and_the_line(polygons, words, tmp_path):
    file = tmp_path / "volcanoes.toml"
    entry = '[[volcano]]\ngvp = 100001\nname = "V"\nlat = 10.0\nlon = 40.03\nframes = ["001A_x"]\n'
    file.write_text(f"{entry}exclude = {polygons}\n")
    with pytest.raises(CatalogueError) as problem:
        load(file)
    assert f"{file}: line 7: [[volcano]] number 1 (V): exclude: {words}" in str(problem.value)
