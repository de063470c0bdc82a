"""The outbox goes out within bounds: a thread for each channel, one deadline for a channel that is dead, many as one."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime

from insar_anomaly import notify
from insar_anomaly.config.channel import ChannelSettings
from insar_anomaly.errors import ConfigError, InsarAnomalyError, StackFailed
from insar_anomaly.flags.mutes import muted_until
from insar_anomaly.ledger.leases import NOTICES
from insar_anomaly.ledger.records import NewNotice, NoticeRow
from insar_anomaly.notify.message import Message, NotDelivered, Refused, Unreachable
from insar_anomaly.notify.parcels import Breaker, Letter, Parcel, Waiting, parcels
from insar_anomaly.notify.routing import Destination
from insar_anomaly.pipeline.installation import Installation
from insar_anomaly.pipeline.leases import Holding
from insar_anomaly.pipeline.limits import Limit
from insar_anomaly.pipeline.messages import Desk, Make, parked_elsewhere, receipt
from insar_anomaly.pipeline.run import Run
from insar_anomaly.report.digest import Count

log = logging.getLogger(__name__)


def dispatch(s: Installation, run: Run, held: Holding, make: Make, only: Collection[str] | None = None) -> None:
    """Send everything that waits and may go out now; what was parked in this run is told by another channel.

    With `only`, the keys of notices, these alone: the others were tried in this run already.
    """
    flaggable = s.by_stack | s.by_couple
    channels = notify.named(s.config.channel)
    work = _Dispatch(s, run, held, Desk(s, run, make), channels, notify.destinations(s.config.channel, s.config.route))
    waiting = [row for row in s.ledger.pending() if only is None or row.key in only]
    rows = _not_muted(s, run, [row for row in waiting if not row.stack or row.stack in flaggable])
    work.send(rows)
    if told := _elsewhere(work, s.ledger.parked()):
        s.ledger.put("", told)
        keys = {one.key for one in told}
        work.send([row for row in s.ledger.pending() if row.key in keys])


def _not_muted(s: Installation, run: Run, rows: Sequence[NoticeRow]) -> list[NoticeRow]:
    """Without what waits because a person muted it. The end of a flag is told all the same, to who was told of it."""
    today, mutes = datetime.now(UTC).date(), s.ledger.mutes()
    waiting = {row.key for row in rows}
    until = {stack: muted_until(mutes, stack, today) for stack in {row.stack for row in rows if row.stack}}
    held = [row for row in rows if row.stack and until[row.stack] and not (row.ends and row.begun not in waiting)]
    for stack in sorted({row.stack for row in held}):
        number = sum(row.stack == stack for row in held)
        run.warn(f"{stack} is muted until {until[stack]}: notices that wait until then: {number}")
    return [row for row in rows if row not in held]


def _elsewhere(work: _Dispatch, parked: Sequence[NoticeRow]) -> list[NewNotice]:
    """The notices by which another channel tells of parked ones: one for each message, none without another channel."""
    messages: dict[tuple[str, str], list[NoticeRow]] = {}
    for row in parked:
        messages.setdefault((row.channel, row.bundle or row.key), []).append(row)
    told = []
    for (channel, key), rows in messages.items():
        mine = channel.partition("@")[0]
        other = next((name for name, one in work.channels.items() if name != mine and notify.reaches(one, ())), None)
        told += [parked_elsewhere(work.desk, rows, key, other, work.channels[other].language)] if other else []
    return told


@dataclass(frozen=True)
class _Post:
    """A parcel, where it goes, and its rows."""

    destination: Destination
    parcel: Parcel
    rows: tuple[NoticeRow, ...]

    @property
    def label(self) -> str:
        """What errors call it."""
        return self.parcel.bundle or self.rows[0].key


@dataclass
class _Dispatch:
    """What the threads of one run share."""

    s: Installation
    run: Run
    held: Holding
    desk: Desk
    channels: Mapping[str, ChannelSettings]
    destinations: Mapping[str, Destination]
    lock: threading.RLock = field(default_factory=threading.RLock)
    stopped: threading.Event = field(default_factory=threading.Event)
    done: int = 0
    total: int = 0

    def send(self, rows: Sequence[NoticeRow]) -> None:
        """Send rows, each channel in a thread of its own, so that none waits for another."""
        lanes: dict[str, list[NoticeRow]] = {name: [] for name in self.s.ledger.limited() if name in self.channels}
        for row in rows:
            lanes.setdefault(row.channel.partition("@")[0], []).append(row)
        self.done, self.total = 0, len(rows)
        if not lanes:
            return
        with ThreadPoolExecutor(len(lanes), thread_name_prefix="insar-anomaly notices") as threads:
            try:
                work = [threads.submit(self._lane, name, some) for name, some in lanes.items()]
                for one in work:
                    one.result()
            finally:
                self.stopped.set()  # where one of them broke, or somebody pressed Ctrl-C
        self.stopped.clear()

    def _lane(self, channel: str, rows: Sequence[NoticeRow]) -> None:
        """Everything of one channel, in order, until it fails or reaches its limit."""
        if channel not in self.channels:
            self._unconfigured(rows)
            return
        posts, breaker = deque(self._posts(rows)), self.run.breakers.setdefault(channel, Breaker())
        limit, waiting = Limit.of(self.s.ledger, channel, self.channels[channel]), sum(len(one.rows) for one in posts)
        while posts and not self.stopped.is_set() and not breaker.open and limit.allows:
            post = posts.popleft()
            waiting -= len(post.rows)
            if not self._attempt(post, breaker, limit, waiting=waiting):
                posts.appendleft(post)  # the limit holds back some of its messages
        if self.stopped.is_set() or breaker.open:
            self._pass_over(posts, f"not tried in run {self.run.number}: {breaker.why}" if breaker.open else "")
            return
        keys = [row.key for one in posts for row in one.rows]
        self._pass_over(posts, f"waits: max_per_hour = {limit.most} of channel {channel} is reached")
        with self.lock:
            limit.tell(self.s.ledger, self.run, keys)

    def _posts(self, rows: Sequence[NoticeRow]) -> list[_Post]:
        """What goes out now, oldest first."""
        by_name: dict[str, list[NoticeRow]] = {}
        for row in rows:
            by_name.setdefault(row.channel, []).append(row)
        posts = []
        for name, some in by_name.items():
            destination = notify.destination_of(name, self.destinations, self.channels)
            assert destination is not None  # its channel is configured
            now = [row for row in some if destination.open_at(datetime.now(UTC), row.kind, row.content)]
            if len(now) < len(some):
                self._say(f"{name}: {len(some) - len(now)} notices wait for the hours of its [[route]]")
            posts += self._parcelled(destination, now)
        order = {row.key: number for number, row in enumerate(rows)}
        return sorted(posts, key=lambda post: order[post.rows[0].key])

    def _parcelled(self, destination: Destination, rows: Sequence[NoticeRow]) -> list[_Post]:
        settings, by_key = destination.settings, {row.key: row for row in rows}
        waiting = [Waiting(row.key, row.kind, row.gvp, self._contacts(destination, row), row.bundle) for row in rows]
        found = parcels(destination.name, waiting, above=settings.group_above, together=notify.groups(settings))
        return [_Post(destination, one, tuple(by_key[key] for key in one.keys)) for one in found]

    def _contacts(self, destination: Destination, row: NoticeRow) -> tuple[str, ...]:
        """Today's contacts: an address that was wrong when the flag was raised can be mended in the catalogue."""
        if not row.stack or not destination.personal or not notify.personal(destination.settings):
            return ()
        return (self.s.by_stack | self.s.by_couple)[row.stack].contacts

    def _attempt(self, post: _Post, breaker: Breaker, limit: Limit, *, waiting: int) -> bool:
        """Send one parcel; write down what became of it before anything else. False where the limit cut it short."""
        keys, whole = [row.key for row in post.rows], True
        try:
            whole = self._deliver(post, limit)
        except StackFailed as lost:  # another process delivers now: what it has sent must not be sent again
            self.stopped.set()
            self._fail("every stack", str(lost))
        except Exception as problem:
            if not isinstance(problem, InsarAnomalyError | OSError):
                log.exception("%s: its delivery failed", post.label)
            breaker.failed(problem)
            self._failed(post, problem, breaker, waiting)
        else:
            breaker.arrived()
            if not whole:
                return False
            self.s.ledger.delivered(*keys)
            with self.lock:
                self.run.counts[Count.DELIVERED] += len(keys)
        with self.lock:
            self.done += len(keys)
            self.s.watch("notify", self.done, self.total)
        return True

    def _deliver(self, post: _Post, limit: Limit) -> bool:
        """Send a parcel: one message, or several where receivers get different notices of it. Each counts for the limit.

        Where one of several does not arrive, the others are sent all the same, each once, and the first error is raised.
        False where the limit is reached before the last of them: a later run sends those that are left.
        """
        parcel, ledger = post.parcel, self.s.ledger
        if parcel.bundle is not None:
            ledger.bundle(parcel.bundle, [row.key for row in post.rows if row.bundle != parcel.bundle])
        letters = parcel.letters(getattr(post.destination.settings, "recipients", ()))
        if len(letters) == 1:
            limit.count(1)
            self._send(post, letters[0])
            return True
        sent = {row.key for row in ledger.notices() if row.delivered_at}
        left = deque(one for one in letters if parcel.receipt_of(one) not in sent)
        problems: list[Exception] = []
        while left and limit.allows:
            letter = left.popleft()
            limit.count(1)
            try:
                message = self._send(post, letter)
            except (NotDelivered, ConfigError) as problem:
                problems.append(problem)
                if isinstance(problem, Unreachable):
                    break
            else:
                ledger.arrived(receipt(parcel.receipt_of(letter), post.destination.name, message))
        if problems:
            raise problems[0]
        return not left

    def _send(self, post: _Post, letter: Letter) -> Message:
        destination, bundle = post.destination, post.parcel.key_of(letter)
        settings = destination.settings if letter.own else _without_recipients(destination.settings)
        channel = notify.opened(settings, destination.name, letter.contacts)
        chosen = set(letter.keys)
        rows = [row for row in post.rows if row.key in chosen]
        message = self.desk.message(rows, destination.language, bundle=bundle, region=post.parcel.region)
        self.held.insist(NOTICES)
        channel.deliver(message)
        return message

    def _failed(self, post: _Post, problem: Exception, breaker: Breaker, waiting: int) -> None:
        """Write a failure down in the outbox, and say it once."""
        keys, words = [row.key for row in post.rows], f"{post.label}: {problem}"
        if isinstance(problem, Refused):
            nights = post.destination.settings.park_after
            parked = self.s.ledger.refused(*keys, error=str(problem), night=self.run.as_of, nights=nights)
            if parked:
                words += (
                    f"; it was refused on {nights} nights and is parked: `insar-anomaly notices --retry {parked[0]}` "
                    "takes it up again"
                )
        else:
            self.s.ledger.failed(*keys, error=str(problem))
        if breaker.open:
            more = f", {waiting} more notices wait" if waiting else ""
            words += f"; channel {post.destination.channel} is left alone until the next run{more}"
        known = isinstance(problem, InsarAnomalyError | OSError)
        defect = f"{post.label}: {type(problem).__name__}: {problem} (a defect of insar-anomaly: please report it)"
        self._fail(post.rows[0].stack or "every stack", words if known else defect)

    def _unconfigured(self, rows: Sequence[NoticeRow]) -> None:
        for row in rows:
            words = (
                f"channel {row.channel} is no longer configured; configure it, or drop the notice: "
                f"`insar-anomaly notices --drop {row.key} --why ...`"
            )
            self.s.ledger.failed(row.key, error=words)
        if rows:
            more = f" ({len(rows) - 1} more wait for it)" if len(rows) > 1 else ""
            self._fail(rows[0].stack or "every stack", f"{rows[0].key}: {words}{more}")

    def _pass_over(self, posts: Iterable[_Post], why: str) -> None:
        keys = [row.key for one in posts for row in one.rows]
        if keys and why:
            self.s.ledger.passed_over(*keys, why=why)

    def _fail(self, stack: str, words: str) -> None:
        with self.lock:
            self.run.fail(stack, "notify", words)

    def _say(self, words: str) -> None:
        with self.lock:
            self.run.warn(words)


def _without_recipients(settings: ChannelSettings) -> ChannelSettings:
    """The settings of a channel for messages that a volcano's contacts alone get."""
    known = "recipients" in type(settings).model_fields
    return settings.model_copy(update={"recipients": ()}) if known else settings
