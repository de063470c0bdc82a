"""Which Sentinel-1 satellite passed: what the names of public products say is found again from track and date alone."""

from __future__ import annotations

import re
from datetime import date, timedelta

import pytest

from insar_anomaly.names import track
from insar_anomaly.sources import orbits
from insar_anomaly.units import Platform

# Names of public products, cut to satellite, start and absolute orbit, as they stand in issues, tests and documentation of
# isce2, isce3, s1-reader, eos-sar, GMTSAR, PyGMTSAR, stactools and ASF HyP3. Last but not least the pair of isce3 issue 375
# (S1C 007244 and S1D 002389, track 73), and S1C 008279, after the manoeuvre of June 2026 (eos-sar).
PRODUCTS = re.findall(
    r"S1\w+",
    """
S1A_20141031T161924_003076 S1A_20161221T234940_014484 S1A_20200116T032559_030820 S1A_20200503T160840_032403
S1A_20200511T135117_032518 S1A_20220112T230511_041434 S1A_20230903T183344_050167 S1A_20230915T183345_050342
S1A_20250313T055953_058282 S1A_20250510T172522_059135 S1A_20250615T172520_059660 S1A_20250624T055028_059784
S1A_20251221T204341_062418 S1A_20260126T204338_062943 S1A_20260209T135208_063143 S1A_20260623T225050_065103
S1B_20161116T071350_002980 S1B_20161127T231340_003151 S1B_20161217T095718_003434 S1B_20161221T231340_003501
S1B_20161226T170144_003570 S1B_20190104T230513_014350 S1B_20200509T160757_021507
S1C_20250516T172358_002359 S1C_20250525T054859_002483 S1C_20250703T172402_003059 S1C_20251118T052605_005064
S1C_20251201T074918_005255 S1C_20260218T083150_006407 S1C_20260408T174632_007128 S1C_20260416T164125_007244
S1C_20260418T232653_007277 S1C_20260514T235559_007656 S1C_20260519T214004_007728 S1C_20260531T214004_007903
S1C_20260626T160938_008279
S1D_20260417T164135_002389 S1D_20260418T220656_002407 S1D_20260420T055953_002426 S1D_20260515T235609_002801
S1D_20260613T214015_003223 S1D_20260630T225009_003472 S1D_20260806T101603_004003 S1D_20260818T101604_004178
S1D_20260819T001150_004187 S1D_20260820T235450_004216 S1D_20260913T235451_004566
""",
)
FIRST_ORBIT = {"S1A": 73, "S1B": 27, "S1C": 172, "S1D": 42}
"""Absolute orbits of relative orbit 1, as ESA publishes them; 1C's is 99 from 24 June 2026 (isce2 pull request 28130)."""


def of(product):
    """Satellite, date and relative orbit of a product."""
    name, year, month, day, orbit = re.match(r"(S1[A-D])_(\d{4})(\d\d)(\d\d)T\d{6}_(\d{6})$", product).groups()
    first = 99 if name == "S1C" and int(orbit) > 8018 else FIRST_ORBIT[name]
    return Platform[name], date(int(year), int(month), int(day)), (int(orbit) - first) % 175 + 1


@pytest.mark.parametrize("product", PRODUCTS)
def test_the_satellite_of_a_product_is_found_or_unknown_where_two_could_be(product):
    satellite, day, relative = of(product)
    found = {orbits.platform(day, relative, letter) for letter in ("A", "D")}
    assert satellite in found
    assert found <= {satellite, Platform.UNKNOWN}
    assert orbits.platform(day, relative) in (satellite, Platform.UNKNOWN)


def test_most_products_are_told_without_their_direction():
    told = [orbits.platform(day, relative) is not Platform.UNKNOWN for _, day, relative in map(of, PRODUCTS)]
    assert sum(told) >= len(PRODUCTS) - 5


def test_a_day_on_which_nobody_passed_is_unknown():
    _, day, relative = of("S1A_20200511T135117_032518")
    assert orbits.platform(day + timedelta(days=6), relative) is Platform.S1B
    for late in (2, 3, 4, 8, 9, 10):
        assert orbits.platform(day + timedelta(days=late), relative) is Platform.UNKNOWN
    # after its end, the other satellite's days are empty, until 1C takes its place
    assert orbits.platform(date(2022, 5, 7), relative) is Platform.UNKNOWN
    assert orbits.platform(date(2014, 5, 1), relative) is Platform.UNKNOWN


@pytest.mark.parametrize("letter", ["A", "D"])
def test_every_repeat_has_one_pass_of_each_satellite_on_every_track(letter):
    """On one day, or two where the pass is near midnight; six days apart nothing is doubtful."""
    days = [date(2020, 3, 1) + timedelta(days=n) for n in range(12)]
    for relative in range(1, 176):
        found = [orbits.platform(day, relative, letter) for day in days]
        for satellite in (Platform.S1A, Platform.S1B):
            assert 1 <= found.count(satellite) <= 2, (relative, found)


def test_one_day_apart_near_midnight_is_unknown():
    """Spring 2026: 1D a day after 1C. Where a pass may lie on either side of midnight, the day between could be either's."""
    tandem = [date(2026, 4, 15) + timedelta(days=n) for n in range(13)]
    tracks = [[orbits.platform(day, relative, "D") for day in tandem] for relative in range(1, 176)]
    three = [Platform.S1C, Platform.UNKNOWN, Platform.S1D]
    doubtful = sum(any(found[n : n + 3] == three for n in range(11)) for found in tracks)
    plain = sum(any(found[n : n + 2] == three[::2] for n in range(12)) for found in tracks)
    assert 0 < doubtful < 15
    assert plain > 140


def test_what_is_no_track_or_direction_is_refused():
    with pytest.raises(ValueError, match="track = 176"):
        orbits.platform(date(2020, 1, 1), 176)
    with pytest.raises(ValueError, match="direction = 'N'"):
        orbits.platform(date(2020, 1, 1), 1, "N")


def test_the_track_of_a_frame():
    assert track("079D_07694_131313") == 79
    assert track("7D_x") is None
    assert track("990A_00001_010101") is None
