"""Sentences of the program that are kept as English text, said in other languages: thresholds, the level, blind stacks.

The ledger, payloads and digests hold them in English, also those that an earlier version has written. What is not known here
is returned as it is. So are names of settings and stages.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_REASONS: Mapping[str, Mapping[str, str]] = {
    "es": {
        # thresholds, see `calibration.threshold`
        r"(\S+) quiet scores out of sample, at least (\S+) are needed": (
            "{0} puntuaciones tranquilas fuera de muestra; hacen falta al menos {1}"
        ),
        r"at most (\S+) a year, from (\S+) quiet years": "como máximo {0} al año, a partir de {1} años tranquilos",
        r"(\S+) of quiet scores": "una parte de {0} de las puntuaciones tranquilas",
        r"(\S+) quantile of training scores": "cuantil {0} de las puntuaciones del ajuste",
        r"largest true minus false positive rate": "mayor diferencia entre verdaderos y falsos positivos",
        r"policy youden needs positives: labels or injected sources": (
            "el criterio de Youden necesita positivos: etiquetas o fuentes inyectadas"
        ),
        # the level, see `calibration.budget`
        r"notices are sent for all flags: (\S+) stacks are expected to raise fewer than (\S+) false flags a year": (
            "se notifican todos los avisos: se espera que {0} series den menos de {1} avisos falsos al año"
        ),
        r"notices are sent for flags from a return period of (\S+) years on": (
            "se notifican los avisos desde un periodo de retorno de {0} años"
        ),
        (
            r"(\S+) stacks with (\S+) quiet years are then expected to raise (\S+) \((\S+) to (\S+)\) false flags a year, "
            r"of (\S+) allowed"
        ): (
            "así se espera que {0} series con {1} años tranquilos den {2} avisos falsos al año (de {3} a {4}), de {5} "
            "permitidos"
        ),
        r"the quiet records are too short for this budget: the upper bound of the expected rate is held to it": (
            "los registros tranquilos son demasiado cortos para este presupuesto: se le ajusta la cota superior de la tasa "
            "esperada"
        ),
        r"(\S+) more stacks know too little to be counted": "otras {0} series tienen muy pocos datos para contarlas",
        # blind stacks, see `pipeline.assess`
        r"not fitted: run (`[^`]*`)": "sin ajustar: ejecute {0}",
        r"not calibrated: (.*)": "sin calibrar: {0}",
        r"built anew on another grid since it was fitted: run (`[^`]*`)": (
            "se construyó de nuevo en otra malla después del ajuste: ejecute {0}"
        ),
    }
}
"""By language: the English sentence with its numbers, and what it is in that language."""
_NAMES: Mapping[str, Mapping[str, str]] = {
    "es": {
        # policies
        "false-alarms-per-year": "avisos falsos al año",
        "fpr": "tasa de falsos positivos",
        "youden": "de Youden",
        "quantile": "cuantil",
        # stages
        "ingest": "lectura",
        "restack": "reconstrucción",
        "fit": "ajuste",
        "level": "nivel",
        "assess": "evaluación",
        "assess couples": "evaluación de ambas direcciones",
        "flag": "avisos",
        "flag couples": "avisos de ambas direcciones",
        "hold together": "avisos simultáneos",
        "canary": "canario",
        "notify": "notificaciones",
        "backfill": "lectura del pasado",
        "settle": "cierre",
        "replay": "repetición",
        "digest": "resumen",
        "run": "ejecución completa",
        "every stack": "todas las series",
    }
}
"""By language: names of policies and of stages, as the settings and the ledger have them."""
_BETWEEN = "; "


def in_language(words: str, language: str) -> str:
    """A sentence of the program in a language; each of its parts that is not known stays English."""
    known = _REASONS.get(language)
    return words if known is None else _BETWEEN.join(_part(one, known, language) for one in words.split(_BETWEEN))


def name_in_language(name: str, language: str) -> str:
    """What a policy or a stage is called in a language; its own name where there is no other."""
    return _NAMES.get(language, {}).get(name, name)


def _part(words: str, known: Mapping[str, str], language: str) -> str:
    for pattern, said in known.items():
        if found := re.fullmatch(pattern, words):
            inner = [in_language(one, language) if " " in one and "`" not in one else one for one in found.groups()]
            return said.format(*inner)
    return words
