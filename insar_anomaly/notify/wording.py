"""A notice in words: what happened, how sure that is, then the numbers, in the order in which a duty officer asks."""

from __future__ import annotations

from insar_anomaly.calibration.detectability import words
from insar_anomaly.names import Acquisition, span_of
from insar_anomaly.notify.payload import Alone, Payload


def subject(told: Payload) -> str:
    """One line: what became of the flag, where, and for which time."""
    return f"Screening flag {told.outcome}: {told.volcano} ({told.gvp}), {_dates(told.pair)}"


def body(told: Payload) -> str:
    """The whole notice as plain text, without the disclaimer."""
    parts = [
        [f"Screening flag {told.outcome}: {told.volcano} ({told.gvp}), stack {told.stack}", *_event(told)],
        ["The episode", *_episode(told)],
        ["For recomputing", *_sources(told)],
    ]
    if told.outcome == "raised":
        parts[1:1] = [["How sure is this?", *_certainty(told), *_days_alone(told)]]
        parts[3:3] = [["What this stack can detect", *_sight(told)]]
    return "\n\n".join("\n".join(lines) for lines in parts if len(lines) > 1)


def _event(told: Payload) -> list[str]:
    """What happened, in one or two sentences."""
    episode = told.episode
    if told.outcome == "withdrawn":
        return [
            f"With more acquisitions, nothing between {episode.since} and {episode.until} is over the threshold any more.",
            "The flag is withdrawn.",
        ]
    if told.outcome == "cleared":
        return [f"Nothing has been over the threshold since {episode.until}. The flag of {episode.since} is cleared."]
    return [
        f"The {told.evidence.one} {_dates(told.pair)} does not look like this stack's quiet past.",
        f"It ended {told.pair_age_days} days before the night of {told.as_of}.",
        *_seen_with(told),
    ]


def _seen_with(told: Payload) -> list[str]:
    """How much of the time after an interval was seen, and what each stack of a couple says; nothing for a single pair."""
    if told.members:
        lines = []
        for one in told.members:
            own = "no threshold of its own" if one.threshold is None else f"its own threshold {one.threshold:.4g}"
            lines.append(
                f"{one.stack}: interval {_dates(one.pair)}, {_acquisitions(one.after)} after it: score {one.score:.4g}, "
                + own
                + (", flagged by itself too" if one.flagged else "")
            )
        return lines
    if not told.after:
        return []
    return [f"It was fused from all pairs around it, and assessed with {_acquisitions(told.after)} after it."]


def _certainty(told: Payload) -> list[str]:
    lines = [f"Score {told.score:.5g}, threshold {told.threshold:.5g}."]
    if told.percentile is not None:
        lines.append(f"The score is higher than {told.percentile:.1f} % of this stack's quiet {told.evidence.many}.")
    if told.calibration.false_alarms:
        rate = told.calibration.false_alarms
        lines.append(
            f"On quiet ground this stack raises {rate.value:.2g} flags a year (95 %: {rate.low:.2g} to {rate.high:.2g})."
        )
    return lines


def _days_alone(told: Payload) -> list[str]:
    """What is known of the atmosphere of the interval's two days.

    Motion that stays shows half of itself on either side, so a day that is merely over its threshold proves nothing. A day
    that stands out more than the interval does is the likelier cause.
    """
    return [f"Acquisition {_dates(day)} alone: {_verdict(told, known)}." for day, known in told.alone.items()]


def _verdict(told: Payload, known: Alone | None) -> str:
    if known is None:
        return "too few acquisitions around it so far to tell"
    if known.threshold is None:
        return f"score {known.score:.4g}; no threshold for acquisitions here"
    numbers = f"(score {known.score:.4g}, threshold {known.threshold:.4g})"
    if known.score <= known.threshold:
        return f"not unusual {numbers}"
    if known.score > told.score:
        return f"more unusual than the interval: the atmosphere of that day is the likelier cause {numbers}"
    return f"unusual, but less than the interval, as it is for motion that stays {numbers}"


def _episode(told: Payload) -> list[str]:
    episode = told.episode
    over = told.evidence.counted(episode.pairs_over)
    return [
        f"Number {episode.number}, {episode.since} to {episode.until}.",
        f"{over} over the threshold, peak {episode.peak_score:.5g} in {_dates(episode.peak_pair)}.",
    ]


def _sight(told: Payload) -> list[str]:
    lines = [
        f"Injected {sample}: {rate.value:.0%} of {told.evidence.many} detected (95 %: {rate.low:.0%} to {rate.high:.0%})."
        for sample, rate in told.calibration.detection.items()
    ]
    found = told.calibration.detectability
    return [*([words(found.half, found.most)] if found else []), *lines]


def _sources(told: Payload) -> list[str]:
    return [
        f"{told.evidence.one} {told.pair}, model {told.model}, snapshot {told.snapshot}",
        f"threshold by policy {told.policy}: {told.calibration.why}",
    ]


def _dates(name: str) -> str:
    """A pair, interval or acquisition as people read it: ``2017-01-12 to 2017-01-24``, ``2017-01-12``."""
    span = span_of(name) or span_of(f"{name}_{name}")
    if span is None:
        return name
    return f"{span.first}" if isinstance(span, Acquisition) else f"{span.first} to {span.last}"


def _acquisitions(number: int) -> str:
    return "one acquisition" if number == 1 else f"{number} acquisitions"
