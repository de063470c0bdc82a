"""What the endpoint shows, as HTML. Everything that comes from elsewhere is escaped.

The words are in ``templates/<language>/page.j2``, the page in ``templates/layout/page.html.j2``.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any

from insar_anomaly.flags.mutes import Mute
from insar_anomaly.ledger.people_rows import ActRow
from insar_anomaly.ledger.records import EpisodeRow
from insar_anomaly.names import FlagName, span_of
from insar_anomaly.spoken import DEFAULT, LANGUAGES, one_line
from insar_anomaly.spoken.sentences import layouts, sentences

STYLE = """
:root { color-scheme: light dark; --paper: #ffffff; --ink: #1a1a1a; --quiet: #5c5c5c; --line: #c8c8c8; --act: #0b5394; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #16181b; --ink: #e8e8e8; --quiet: #a6a6a6; --line: #44484e; --act: #2f6fab; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 1rem/1.45 system-ui, Roboto, Arial, sans-serif; }
main { max-width: 44rem; margin: 0 auto; padding: 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.35rem; line-height: 1.25; margin: 0 0 .75rem; }
h2 { font-size: 1.1rem; margin: 0 0 .5rem; }
p, ul, dl { margin: 0 0 1rem; }
ul { padding-left: 1.2rem; }
dt { color: var(--quiet); font-size: .85rem; }
dd { margin: 0 0 .5rem; }
img { display: block; width: 100%; height: auto; min-height: 2rem; margin: 0 0 1rem; background: #ffffff; color: #1a1a1a; }
form { border: 1px solid var(--line); border-radius: .5rem; padding: 1rem; margin: 0 0 1rem; }
label { display: block; margin: 0 0 .75rem; }
input, select, button { font: inherit; display: block; width: 100%; min-height: 2.75rem; margin-top: .25rem; }
input, select { color: inherit; background: var(--paper); border: 1px solid var(--quiet); border-radius: .35rem; }
input, select { padding: .4rem .6rem; }
button { background: var(--act); color: #ffffff; border: 0; border-radius: .35rem; font-weight: 600; cursor: pointer; }
a { color: inherit; }
.small { color: var(--quiet); font-size: .85rem; margin: 0 0 .5rem; }
"""
STYLE_HASH = f"'sha256-{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'"
"""What the Content-Security-Policy calls the style: nothing else may style the page."""


@dataclass(frozen=True)
class Shown:
    """What the page of a flag shows beside its row: the volcano's name, where forms post to, the figure's address (None
    where nobody draws it), and the page's address in each other language.

    `mutes` are those that keep its notices back, `unmutable` says that the page can end one of them, and `latest` is the
    last day of a new one. `done` is the place of the act that was written down just now.
    """

    volcano: str
    action: str
    figure: str | None
    languages: Sequence[tuple[str, str]]
    mutes: Sequence[Mute]
    unmutable: bool
    latest: date
    done: int | None


def message(kind: str, why: str, language: str = DEFAULT, *about: object) -> str:
    """A page with one sentence: `kind` is its title and `why` the reason, as the templates call them."""
    say = _words(language)
    return _page(say.titles[kind], language, lines=[str(say.reasons[why]).format(*about)])


def flag_page(row: EpisodeRow, acts: Sequence[ActRow], shown: Shown, language: str = DEFAULT) -> str:
    """The page of a flag: what was done just now, what it is, its figure, what was done before, and the forms."""
    say, name = _words(language), FlagName(row.stack, row.number)
    words, said = say.words, [one_line(say.act(act)) for act in acts]
    title = f"{words['title']} {name}"
    content = {
        "facts": _facts(row, shown.mutes, language),
        "figure": shown.figure,
        "action": shown.action,
        "acts": said,
        "done": None if shown.done is None else said[shown.done],
        "forms": ["ack", "label", *(["unmute"] if shown.unmutable else []), "mute"],
        "regions": [str(mute.target) for mute in shown.mutes if mute.target.name.endswith("*")],
        "latest": str(shown.latest),
        "languages": [(code, _words(code).words["language"], address) for code, address in shown.languages],
    }
    lines = [title] if shown.volcano else []
    return _page(title, language, heading=shown.volcano or title, lines=lines, flag=content)


def _facts(row: EpisodeRow, mutes: Sequence[Mute], language: str) -> list[tuple[str, str]]:
    """What is known of a flag, each with its label."""
    say, words = _words(language), _words(language).words
    state = one_line(say.ended(row)) if row.cleared else LANGUAGES[language].states[row.state]
    facts = [(words["state"], state), (words["time"], LANGUAGES[language].span(row.since, row.until))]
    facts.append((words["score"], one_line(say.over(row))))
    if mutes:
        facts.append((words["muted"], max(str(mute.until) for mute in mutes)))
        facts += [(words["muted_by"], one_line(say.mute(mute))) for mute in mutes]
    return facts


def _page(
    title: str, language: str, *, heading: str = "", lines: Sequence[str] = (), flag: Mapping[str, object] | None = None
) -> str:
    say = _words(language)
    return (
        layouts("serve")
        .get_template("page.html.j2")
        .render(
            language=language,
            title=title,
            heading=heading or title,
            lines=lines,
            flag=flag,
            words=say.words,
            labels=say.labels,
            style=STYLE,
        )
    )


@lru_cache(maxsize=8)
def _words(language: str) -> Any:
    made, words = sentences("serve", language), LANGUAGES[language]
    made.globals["when"] = lambda name: words.span(found.first, found.last) if (found := span_of(name)) else name
    return made.get_template("page.j2").module
