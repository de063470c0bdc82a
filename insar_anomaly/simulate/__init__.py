"""Interferograms made from physics: buried sources, turbulent and stratified atmosphere, lost coherence. Pure arrays.

Conventions: line of sight is positive towards the satellite, phase positive away from it, so that
``phase = RAD_PER_M * line_of_sight``. Row 0 is north. Every random draw comes from the generator that is passed in.
"""

from insar_anomaly.simulate.atmosphere import TERRAINS, Spectrum, decorrelated, relief, stratified, terrain, turbulence
from insar_anomaly.simulate.layers import coherences, modelled, phase_noise
from insar_anomaly.simulate.okada import Rectangle, okada
from insar_anomaly.simulate.scenes import Scene, Unrest, acquisitions, scene
from insar_anomaly.simulate.sources import (
    LOOK,
    Displacement,
    Floats,
    PointSource,
    draw_source,
    line_of_sight,
    look_vector,
    mogi,
    penny_crack,
    point_crack,
)
from insar_anomaly.simulate.stripes import along_track, burst_steps, ionosphere
from insar_anomaly.units import RAD_PER_M

__all__ = [
    "LOOK",
    "RAD_PER_M",
    "TERRAINS",
    "Displacement",
    "Floats",
    "PointSource",
    "Rectangle",
    "Scene",
    "Spectrum",
    "Unrest",
    "acquisitions",
    "along_track",
    "burst_steps",
    "coherences",
    "decorrelated",
    "draw_source",
    "ionosphere",
    "line_of_sight",
    "look_vector",
    "modelled",
    "mogi",
    "okada",
    "penny_crack",
    "phase_noise",
    "point_crack",
    "relief",
    "scene",
    "stratified",
    "terrain",
    "turbulence",
]
