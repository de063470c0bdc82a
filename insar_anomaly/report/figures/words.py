"""What figures say, in each language that notices are written in."""

from __future__ import annotations

from collections.abc import Mapping

from insar_anomaly.spoken import DEFAULT

WORDS: Mapping[str, dict[str, str]] = {
    "en": {
        "motion": "Line of sight, cm",
        "towards": "towards the satellite",
        "away": "away from the satellite",
        "scores": "Score map",
        "not scored": "grey: not scored",
        "contour": "line: threshold",
        "no threshold": "no threshold",
        "fringes": "Fringes (one = {cm:.1f} cm)",
        "coherence": "Coherence",
        "before": "Before: {when}",
        "later": "After: {when}",
        "none before": "nothing before it",
        "none later": "nothing after it yet",
        "series": "At the peak, cm towards the satellite",
        "noise": "quiet range, 95 %",
        "event": "event",
        "peak": "peak",
        "summit": "summit not measured",
        "look": "looks",
        "flight": "flies",
        "missing": "[U+...]: the number of a character that no font on this machine has",
    },
    "es": {
        "motion": "Línea de vista, cm",
        "towards": "hacia el satélite",
        "away": "alejándose del satélite",
        "scores": "Mapa de puntuación",
        "not scored": "gris: sin puntuar",
        "contour": "línea: umbral",
        "no threshold": "sin umbral",
        "fringes": "Franjas (una = {cm:.1f} cm)",
        "coherence": "Coherencia",
        "before": "Antes: {when}",
        "later": "Después: {when}",
        "none before": "no hay nada anterior",
        "none later": "todavía no hay nada posterior",
        "series": "En el máximo, cm hacia el satélite",
        "noise": "margen tranquilo, 95 %",
        "event": "evento",
        "peak": "máximo",
        "summit": "cima sin medir",
        "look": "mira",
        "flight": "vuela",
        "missing": "[U+...]: el número de un carácter que ninguna fuente de este equipo tiene",
    },
}


def words_of(language: str) -> dict[str, str]:
    """The words of a language; of the default one where it has none."""
    return WORDS.get(language, WORDS[DEFAULT])
