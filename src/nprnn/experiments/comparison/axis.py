"""The axis of a comparison: values of a setting, or names with settings of their own, such as plain and permuted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nprnn.errors import ConfigError, unknown

# A value of the setting that is the axis, or the name of a value.
At = int | str


@dataclass(frozen=True)
class Value:
    """A value of the axis that is no number.

    Attributes:
        name: before the axis's own name it reads as words: "plain" of the axis "pixels", "100" of the axis "epochs".
        settings: over the experiment's.
    """

    name: str
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Axis:
    """What stands below a figure.

    Attributes:
        name: the setting whose values are the axis; or, of values with names, what they are values of.
        values: those with names, in their order; empty where the setting's own values are the axis.
    """

    name: str
    values: tuple[Value, ...] = ()

    def ordered(self, at: Iterable[At]) -> list[Any]:
        """Values, each once: numbers as they grow, names as the file has them."""
        places = {value.name: k for k, value in enumerate(self.values)}
        return sorted(set(at), key=lambda one: places[one] if isinstance(one, str) else one)

    def settings(self, at: At) -> Mapping[str, Any]:
        """What a value sets."""
        if not self.values:
            return {self.name: at}
        return next(value.settings for value in self.values if value.name == at)

    def words(self, at: Sequence[At]) -> str:
        """Values in words, such as "length 150, 300" or "plain, permuted pixels"."""
        told = ", ".join(map(str, at))
        return f"{told} {self.name}" if self.values else f"{self.name} {told}"

    def check(self) -> None:
        """Refuse values that cannot be told apart.

        Raises:
            ConfigError: a name that is empty or there twice.
        """
        names = [value.name for value in self.values]
        if not all(names) or len(set(names)) < len(names):
            raise ConfigError(f"[[values]] need different names, got {names}")

    def refuse(self, where: str, at: Sequence[At]) -> None:
        """Refuse what is no value of this axis.

        Args:
            where: that names them, such as "a batch".
            at: the values.

        Raises:
            ConfigError: a name that is not among the values, or no number where there are no names.
        """
        names = [value.name for value in self.values]
        numbers = [one for one in at if isinstance(one, int)]
        if names and numbers:
            raise ConfigError(
                f"{where} names values of {self.name} in quotes, such as {names[0]!r}; got at = {list(at)}"
            )
        if not names and len(numbers) < len(at):
            raise ConfigError(
                f"{where} names values of the setting {self.name}, which are numbers; got at = {list(at)}, and values "
                "with names stand under [[values]]"
            )
        for one in at:
            if names and one not in names:
                raise unknown(f"value of {self.name}", str(one), names)
