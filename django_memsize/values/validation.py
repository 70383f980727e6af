"""Which values a setting can have."""

from __future__ import annotations

from collections.abc import Mapping


def is_bool(value: object) -> bool:
    """Return whether a value is True or False."""
    return isinstance(value, bool)


def is_share(value: object) -> bool:
    """Return whether a value is a number from 0 to 1."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1


def is_number(value: object) -> bool:
    """Return whether a value is a whole number of at least 0."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def is_count(value: object) -> bool:
    """Return whether a value is a whole number of at least 1."""
    return is_number(value) and value != 0


def is_limit(value: object) -> bool:
    """Return whether a value is a whole number of at least 0, or None."""
    return value is None or is_number(value)


def is_str(value: object) -> bool:
    """Return whether a value is a string."""
    return isinstance(value, str)


def is_list_of_str(value: object) -> bool:
    """Return whether a value is a list or a tuple of strings."""
    return isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value)


def is_dict_of_shares(value: object) -> bool:
    """Return whether a value is a dict from strings to numbers from 0 to 1."""
    return isinstance(value, Mapping) and all(
        isinstance(key, str) and is_share(share) for key, share in value.items()
    )


def is_dotted_path(value: object) -> bool:
    """Return whether a value is the path of something in a module, or empty."""
    return isinstance(value, str) and (
        not value or ("." in value and all(name.isidentifier() for name in value.split(".")))
    )
