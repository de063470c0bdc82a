"""The picture of a flag, drawn from what the store holds of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from insar_anomaly.catalogue.volcano import Volcano
from insar_anomaly.names import direction, frame_of, track
from insar_anomaly.pipeline.scene import Scene, Span
from insar_anomaly.spoken import DEFAULT, LANGUAGES, Language

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from insar_anomaly.report.figures import PairFigure


def drawn(
    volcano: Volcano,
    scenes: Sequence[Scene],
    *,
    heading: str,
    note: str = "",
    language: str = DEFAULT,
    form: str = "png",
) -> bytes:
    """The evidence as a figure: a block of panels for each stack. `heading` stands first in the title, before the volcano.

    `form` is ``png``, ``svg``, ``pdf`` or ``jpeg``.
    """
    from insar_anomaly.report.figures import pair_figure  # with matplotlib, which takes half a second

    title = f"{heading}: {volcano.name} ({volcano.gvp})" if heading else f"{volcano.name} ({volcano.gvp})"
    shown = [_figure(volcano, one, language) for one in scenes]
    return pair_figure(*shown, title=title, note=note, language=language, form=form)


def _figure(volcano: Volcano, scene: Scene, language: str) -> PairFigure:
    from insar_anomaly.report.figures import PairFigure, Track

    words = LANGUAGES.get(language, LANGUAGES[DEFAULT])
    moved, event = scene.moved, (scene.event.first, scene.event.last)
    return PairFigure(
        title=f"{seen_from(scene.shown.stack, words)}, {words.span(*event)}",
        grid=scene.grid,
        volcano=(volcano.lat, volcano.lon),
        cm=scene.event.cm,
        coherence=scene.coherence,
        score_map=scene.score_map,
        stride=scene.stride,
        threshold=scene.shown.threshold,
        wavelength_m=scene.wavelength_m,
        height=scene.height,
        look=scene.look,
        way=direction(frame_of(scene.shown.stack)),
        before=_beside(scene.before, words),
        later=_beside(scene.later, words),
        track=None if scene.series is None else Track(scene.series.days, scene.series.cm, event, scene.quiet_cm),
        peak=None if moved is None else (moved.lat, moved.lon),
        assessed=words.span(*scene.assessed),
    )


def _beside(span: Span | None, words: Language) -> tuple[str, NDArray[np.floating]] | None:
    return None if span is None else (words.span(span.first, span.last), span.cm)


def seen_from(stack: str, words: Language) -> str:
    """The frame, its track and pass: ``079D_07694_131313, track 79 (descending)``."""
    frame = frame_of(stack)
    number, way = track(frame), direction(frame)
    return f"{frame}, {words.track.format(number=number, way=words.passes[way])}" if number and way else frame
