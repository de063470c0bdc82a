"""Settings of a [[channel]]: what all have, and the class of each kind's own."""

from __future__ import annotations

from dataclasses import dataclass
from types import GenericAlias
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, SerializeAsAny, TypeAdapter, ValidationError
from pydantic_core import InitErrorDetails

from insar_anomaly.config.section import Section, unknown
from insar_anomaly.errors import PluginFailed
from insar_anomaly.files.allowed import ByKind
from insar_anomaly.registry import CHANNELS
from insar_anomaly.spoken import DEFAULT

_FOLDER = "folder, relative to the configuration file"
Folder = Annotated[str, _FOLDER]


class ChannelSettings(Section):
    """What every [[channel]] has. The settings of each kind are a class of their own, beside the channel that they open.

    A setting whose name ends in ``_env`` names an environment variable, which must be set. A `Folder` is relative to the
    file.
    """

    kind: str = Field(description="how notices are sent")
    name: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9_-]+$",
        examples=["duty"],
        description="its name in [[route]] and in the outbox; unset: its kind, numbered from the second of a kind on",
    )
    group_above: int = Field(
        20,
        ge=1,
        le=100000,
        description="where more notices than this wait, one message tells all those of a volcanic region",
    )
    max_per_hour: int | None = Field(
        None, ge=1, le=100000, description="messages in an hour at most; the others wait for the next run; unset: no limit"
    )
    park_after: int = Field(
        3, ge=1, le=1000, description="nights on which the receiver refuses a notice, after which it is parked for a person"
    )
    language: Literal["en", "es"] = Field(DEFAULT, description="language of its notices")

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables that hold secrets: setting -> variable, where one is named."""
        named = {key: getattr(self, key) for key in type(self).model_fields if key.endswith("_env")}
        return {key: str(variable) for key, variable in named.items() if variable}

    @property
    def folders(self) -> dict[str, str]:
        """The settings that are a `Folder`, where one is named."""
        marked = [key for key, field in type(self).model_fields.items() if _FOLDER in field.metadata]
        return {key: str(folder) for key in marked if (folder := getattr(self, key))}


@dataclass(frozen=True)
class ChannelKind:
    """What the configuration needs of a channel's registration, see `notify.message.Registration`."""

    settings: type[ChannelSettings]


class UnknownChannel(ChannelSettings):
    """A channel whose package cannot be imported: its settings are not checked, and what wants to open it fails."""

    model_config = ConfigDict(frozen=True, extra="allow")


def _channel(given: object) -> object:
    """The settings of a [[channel]] in the class of its kind."""
    if not isinstance(given, dict):
        return given
    kind = given.get("kind")
    if not isinstance(kind, str) or kind not in CHANNELS.kinds:
        mistake: InitErrorDetails = {"type": unknown(CHANNELS), "loc": ("kind",), "input": kind}
        raise ValidationError.from_exception_data("channel", [mistake])
    # as a dictionary, so that the kind stands in the place of every mistake, for `files.mistakes`
    table: Any = GenericAlias(dict, (str, _channel_settings(kind) or UnknownChannel))
    return TypeAdapter[dict[str, ChannelSettings]](table).validate_python({kind: given})[kind]


def _channel_settings(kind: str) -> type[ChannelSettings] | None:
    """The class of a kind's settings; None where there is none, or its package cannot be imported."""
    try:
        return CHANNELS.load(kind, ChannelKind).settings if kind in CHANNELS.kinds else None
    except PluginFailed:
        return None


_BY_KIND = ByKind(lambda: CHANNELS.kinds, _channel_settings)
Channel = Annotated[SerializeAsAny[ChannelSettings], BeforeValidator(_channel), _BY_KIND]
