"""The pages of the screening report without a browser: what they show, and that no name becomes markup."""

from __future__ import annotations

import io
import json
import re
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest
import rasterio
import site_rows
import xarray as xr
from PIL import Image

from insar_anomaly.report.site import front_page, furniture, model_page, volcano_page, world
from insar_anomaly.report.site.downloads import geotiff
from insar_anomaly.report.site.pictures import film_png, motion_png
from insar_anomaly.report.site.plain import POLICY, asset, data, named
from insar_anomaly.report.site.rows import Mark


class Read(HTMLParser):
    """What a page is made of: its elements with their attributes, and its text."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.elements, self.text, self._inside = [], "", ""
        self.feed(page.decode())

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, text):
        if self._inside != "script":
            self.text += text

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    shown = site_rows.view(tmp_path_factory.mktemp("site"))
    return {"front": front_page(site_rows.front(40)), "volcano": volcano_page(shown), "model": model_page(shown)}


@pytest.mark.parametrize("name", ["front", "volcano", "model"])
def test_a_name_that_is_a_script_stays_a_name(pages, name):
    read = Read(pages[name])
    assert site_rows.EVIL in read.text
    assert all("src" in script or script["type"] == "application/json" for script in read.all("script"))
    assert not [attributes for _, attributes in read.elements if any(key.startswith("on") for key in attributes)]
    assert not [image for image in read.all("img") if image["src"] == "x"]


@pytest.mark.parametrize("name", ["front", "volcano", "model"])
def test_a_page_asks_nobody_for_anything(pages, name):
    """A link may lead elsewhere; what a page loads lies beside it."""
    read = Read(pages[name])
    loads = [one["src"] for tag in ("script", "img") for one in read.all(tag) if "src" in one]
    loads += [one["href"] for tag in ("link", "image") for one in read.all(tag)]
    assert [one for one in loads if re.match(r"\w+:|//", one) and one != "data:,"] == []
    assert {"http-equiv": "Content-Security-Policy", "content": POLICY} in read.all("meta")
    assert not [attributes for _, attributes in read.elements if "style" in attributes]
    assert read.all("style") == []


def test_data_in_a_page_ends_no_element_and_is_the_same_json():
    content = {"name": "</script><!-- \u2028 & '\""}
    text = str(data(content))
    assert not re.search("[<>&\u2028\u2029]", text)
    assert json.loads(text) == content


def test_the_table_is_ranked_by_return_period_and_every_volcano_has_a_marker():
    shown = site_rows.front(60)
    read = Read(front_page(shown))
    rows = [one for one in read.all("tr") if "data-gvp" in one]
    periods = {str(one.volcano.gvp): one.period or 0 for one in shown.rows}
    ranked = [periods[one["data-gvp"]] for one in rows]
    assert ranked == sorted(ranked, reverse=True)
    markers = {one["data-gvp"]: one["class"] for one in read.all("a") if "data-gvp" in one}
    assert {gvp: f"m {one.mark.value}" for gvp, one in ((str(r.volcano.gvp), r) for r in shown.rows)} == markers
    assert sum("tabindex" in one and one["tabindex"] == "0" for one in read.all("a")) == 1


def test_the_front_page_tells_the_night_what_failed_and_the_budget():
    text = " ".join(Read(front_page(site_rows.front(3))).text.split())
    assert "Night of 1 March 2024" in text
    assert "ingest: a file is broken" in text
    assert "2 false of 12 allowed in the year; 2 more that nobody has labelled; 1 volcanic" in text


def test_without_a_night_the_front_page_says_so():
    text = Read(front_page(site_rows.front(3, digest=None, canary=()))).text
    assert "No night has been run yet" in text
    assert "Canary" not in text


def test_an_empty_catalogue_has_a_front_page():
    assert "0 volcanoes" in Read(front_page(site_rows.front(0))).text


@pytest.mark.parametrize(("lons", "cut"), [([40.0, 121.0], -32), ([175.0, -176.0, 178.5], -32), ([], -32)])
def test_the_map_is_cut_in_the_atlantic_where_no_volcano_is_near(lons, cut):
    assert world.cut_of(lons) == cut


def test_the_map_is_cut_away_from_volcanoes_of_the_atlantic():
    cut = world.cut_of([-25.5, -31.0, -28.0])
    assert min(abs((lon - cut + 180) % 360 - 180) for lon in (-25.5, -31.0, -28.0)) > 100


def test_volcanoes_on_both_sides_of_the_antimeridian_are_neighbours():
    cut = world.cut_of([179.0, -179.0])
    (west, _), (east, _) = world.place(-18, 179.0, cut), world.place(-18, -179.0, cut)
    assert east - west == pytest.approx(2)


@pytest.mark.parametrize("cut", [-32.0, 0.0, 151.3])
def test_no_line_of_the_coast_crosses_the_map(cut):
    for line in world.coastline(cut).split("M")[1:]:
        xs = [float(point.split()[0]) for point in line.split("L")]
        assert 0 <= min(xs) <= max(xs) <= 360
        assert max(abs(a - b) for a, b in pairwise(xs)) < 60


def test_the_coastline_says_where_it_comes_from():
    assert "Natural Earth" in json.loads(asset("coastline.json"))["source"]


def test_files_of_another_content_have_another_name():
    assert named("f/a.png", b"1") != named("f/a.png", b"2")
    assert named("f/a.png", b"1").startswith("f/a.")
    assert all(name == named(re.sub(r"\.\w{10}\.", ".", name), content) for name, content in furniture().items())


def test_the_volcano_page_has_commands_to_paste_the_link_and_the_history(pages):
    read = Read(pages["volcano"])
    assert f"ack 200000/{site_rows.UP}:1 --by NAME" in read.text
    assert "https://example.org/flag?x=1" in [one.get("href") for one in read.all("a")]
    assert "labelled as volcanic" in read.text
    assert "There are no maps of it: the pairs are gone." in read.text


def test_the_policy_point_lies_on_the_roc_plot(pages):
    [dot] = [one for one in Read(pages["volcano"]).all("circle") if one.get("class") == "dot"][:1]
    assert (float(dot["cx"]), float(dot["cy"])) == (pytest.approx(200 * 0.02), pytest.approx(200 * (1 - 0.9)))


def test_the_model_page_names_what_was_fitted_and_its_months(pages):
    read = Read(pages["model"])
    assert "20200105_20200117" in read.text
    assert any("Jan 2" in one.get("aria-label", "") for one in read.all("svg"))


def test_pictures_and_links_have_words(pages):
    for page in pages.values():
        read = Read(page)
        assert all(one.get("alt") for one in read.all("img"))
        assert all(one.get("href") for one in read.all("a"))


def test_every_mark_has_a_shape_and_a_colour_of_its_own():
    page, styles = front_page(site_rows.front(1)).decode(), asset("site.css").decode()
    shapes = [re.search(rf'<svg class="icon {mark.value}"[^>]*>(.*?)</svg>', page)[1] for mark in Mark]
    assert len(set(shapes)) == len(Mark)
    for scheme in re.findall(r"--flagged:.*?--no-flag: #\w+", styles, re.S):
        colours = [re.search(rf"--{mark.value}: (#\w+)", scheme)[1] for mark in Mark]
        assert len(set(colours)) == len(Mark)


def test_a_film_has_each_map_in_its_place():
    maps = [np.full((3, 4), value) for value in (0.0, 10.0, np.nan)]
    content, columns = film_png(maps, 10.0)
    picture = np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)
    assert (columns, picture.shape) == (3, (3, 12, 3))
    light, middle, grey = (picture[0, 4 * k] for k in range(3))
    assert light.sum() > middle.sum()
    assert tuple(grey) == (150, 150, 150)


def test_the_map_of_motion_is_centred_on_zero():
    picture = np.asarray(Image.open(io.BytesIO(motion_png(np.array([[5.0, 0.0, -5.0]])))).convert("RGB")).astype(int)
    up, still, down = picture[0]
    assert up[0] > up[2]  # red: towards the satellite
    assert down[2] > down[0]
    assert still.min() > 200


def test_the_geotiff_lies_where_its_cells_do():
    lat, lon = np.array([10.5, 9.5]), np.array([40.25, 40.75, 41.25])
    content = geotiff(np.arange(6.0).reshape(2, 3), lat, lon, {"stack": "200000/A"})
    with rasterio.MemoryFile(content) as memory, memory.open() as tif:
        assert tuple(tif.bounds) == (40.0, 9.0, 41.5, 11.0)
        assert tif.tags()["stack"] == "200000/A"
        assert list(tif.read(1)[1]) == [3.0, 4.0, 5.0]


def test_the_netcdf_is_read_by_xarray():
    from datetime import date

    from insar_anomaly.report.site.downloads import Piece, netcdf
    from insar_anomaly.stack.schema import Grid

    grid, some = Grid(40.0, 11.0, 0.5, 0.5, (4, 6)), np.arange(24.0).reshape(4, 6)
    cells = (np.ones((2, 3)), np.array([10.5, 9.5]), np.array([40.5, 41.5, 42.5]))
    piece = Piece(grid, date(2024, 1, 1), date(2024, 1, 13), some, some / 24, some, (0.6, -0.1, 0.78), *cells)
    with xr.open_dataset(io.BytesIO(netcdf(piece, {"stack": "200000/A"})), engine="scipy") as found:
        np.testing.assert_allclose(found["motion"].values, some)
        assert found["lat"].values[0] == pytest.approx(10.75)
        assert "towards the satellite" in found["motion"].attrs["long_name"]
        assert found.attrs["stack"] == "200000/A"
