"""Mistakes a user can make. Each message says what was given, what is wrong and what to do."""

import difflib
from collections.abc import Iterable


class AsrxError(Exception):
    """A user's mistake or an unusable environment: one clear line, exit status 2, no traceback."""


class InputError(AsrxError):
    """Audio, transcripts, tables or folders that cannot be used as given."""


class ConfigError(AsrxError):
    """An option, recipe or override that does not exist or has an impossible value."""


class ModelError(AsrxError):
    """A model that cannot be found, loaded or trained."""


class TrackingError(AsrxError):
    """The MLflow tracking or registry server cannot be used."""


class ProcessError(AsrxError):
    """One of several processes that train together ended, or is out of reach."""


class RegistryError(AsrxError):
    """A registered model, version or alias that is not there."""


class LedgerError(AsrxError):
    """The database of decisions cannot be used."""


def nearest(word: str, known: Iterable[str]) -> str:
    """` (did you mean X?)` for the closest of `known`, or an empty string."""
    matches = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" (did you mean {matches[0]}?)" if matches else ""
