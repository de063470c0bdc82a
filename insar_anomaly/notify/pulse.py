"""A sign of life, sent in one of three ways: a ping, a passive check result, a file. Each has one deadline, or raises.

The ping is that of Healthchecks and services like it: a POST to an address, which gets ``/start`` or ``/fail`` added; the
same ``rid`` in both of a run's pings lets the service measure its length (https://healthchecks.io/docs/http_api/). The check
result is the action ``process-check-result`` of Icinga 2's REST API; the older command file works on Icinga's own machine
only and is deprecated there (https://icinga.com/docs/icinga-2/latest/doc/12-icinga2-api/).
"""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import httpx

from insar_anomaly.files.whole import write_whole

_MOST_BYTES = 10_000
"""Bytes of text that are sent with a ping; Healthchecks keeps 100 kB."""


class NotTold(Exception):
    """The sign did not arrive; the text names the host, never the rest of its address, which may be a key."""


class Moment(StrEnum):
    """When a sign is given; its value is what a ping's address ends with."""

    START = "/start"
    END = ""
    FAILURE = "/fail"


@dataclass(frozen=True)
class Check:
    """Where a passive check result goes: Icinga's API, the objects there, and who sends it."""

    url: str = field(repr=False)
    host: str
    service: str
    user: str
    password: str = field(repr=False)
    ca: str | None = None


@dataclass(frozen=True)
class Result:
    """A passive check result: `status` is 0 (ok), 1 (warning) or 2 (critical); times are seconds since 1970, UTC."""

    status: int
    words: str
    started: float
    finished: float
    numbers: Mapping[str, float] = field(default_factory=dict)


def ping(url: str, moment: Moment, text: str, *, rid: str, deadline_s: float) -> None:
    """Tell a service like Healthchecks that a run begins, has ended, or has failed; `text` is shown there.

    Raises NotTold where nobody answers within `deadline_s`, from the connection to the last byte, or with a status that is
    not 2xx. A redirect is not followed.
    """
    address = httpx.URL(url)
    address = address.copy_with(path=address.path.rstrip("/") + moment.value).copy_merge_params({"rid": rid})

    def ask(client: httpx.Client) -> httpx.Response:
        return client.post(
            address, content=text.encode()[:_MOST_BYTES], headers={"content-type": "text/plain; charset=utf-8"}
        )

    _accepted(_within(deadline_s, address.host, ask), address.host)


def passive_check(check: Check, result: Result, *, deadline_s: float) -> None:
    """Give Icinga 2 a check result. Raises NotTold as `ping` does, and where Icinga knows no such service."""
    address = httpx.URL(check.url)
    address = address.copy_with(path=f"{address.path.rstrip('/')}/v1/actions/process-check-result")
    body = {
        "type": "Service",
        "filter": "host.name==wanted_host && service.name==wanted_service",
        "filter_vars": {"wanted_host": check.host, "wanted_service": check.service},
        "exit_status": result.status,
        "plugin_output": result.words,
        "performance_data": [f"{name}={number:g}" for name, number in result.numbers.items()],
        "check_source": "insar-anomaly",
        "execution_start": result.started,
        "execution_end": result.finished,
    }

    def ask(client: httpx.Client) -> httpx.Response:
        headers = {"accept": "application/json"}
        return client.post(address, json=body, headers=headers, auth=(check.user, check.password))

    answer = _within(deadline_s, address.host, ask, ca=check.ca)
    if answer.status_code == httpx.codes.NOT_FOUND:
        raise NotTold(
            f"{address.host} knows no service {check.service!r} of host {check.host!r}, or its user may not see it"
        )
    _accepted(answer, address.host)
    codes = _codes(answer)
    if any(code != httpx.codes.OK for code in codes):
        raise NotTold(f"{address.host} has not taken the check result: {_said(answer)}")


def write(file: Path, content: Mapping[str, object]) -> None:
    """Replace a JSON file so that a reader sees the old or the new one. Raises NotTold where it cannot be written."""
    try:
        write_whole(file, (json.dumps(content, indent=1, default=str) + "\n").encode())
    except OSError as problem:
        raise NotTold(f"{file}: {problem.strerror}; name a file in a folder that can be written") from None


def _within(
    deadline_s: float, host: str, ask: Callable[[httpx.Client], httpx.Response], *, ca: str | None = None
) -> httpx.Response:
    """The whole answer, or NotTold after the deadline. A client's own limits are for each step: a dripping answer has none.

    The exchange works in a thread, which is left alone where it takes longer; its steps end soon after.
    """
    answers: list[httpx.Response] = []
    failed: list[Exception] = []
    trusted = _trusted(ca)

    def work() -> None:
        try:
            with httpx.Client(timeout=deadline_s, follow_redirects=False, verify=trusted) as client:
                clients.append(client)
                answers.append(ask(client))
        except Exception as problem:  # noqa: BLE001  it is told below, where somebody waits for it
            failed.append(problem)

    clients: list[httpx.Client] = []
    thread = threading.Thread(target=work, name=f"sign of life to {host}", daemon=True)
    thread.start()
    thread.join(deadline_s)
    if answers:
        return answers[0]
    if not failed:
        for client in clients:
            with suppress(Exception):
                client.close()  # ends the exchange at its next step
        raise NotTold(f"{host} has not answered within {deadline_s:g} s")
    raise NotTold(f"{host}: {type(failed[0]).__name__}: {failed[0]}")


def _trusted(ca: str | None) -> ssl.SSLContext | bool:
    if ca is None:
        return True
    try:
        return ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as problem:
        raise NotTold(f"certificate {ca}: {problem}; name the ca.crt of Icinga's authority") from None


def _accepted(answer: httpx.Response, host: str) -> None:
    if not answer.is_success:
        hint = "; it redirects: put the final address into the configuration" if answer.is_redirect else ""
        raise NotTold(f"{host} answered {answer.status_code}: {_said(answer)}{hint}")


def _codes(answer: httpx.Response) -> Sequence[float]:
    """The code of each object that took the result; none where the answer is not Icinga's."""
    try:
        return [float(one["code"]) for one in answer.json()["results"]]
    except (ValueError, KeyError, TypeError):
        return [0.0]


def _said(answer: httpx.Response) -> str:
    return " ".join(answer.text[:200].split())
