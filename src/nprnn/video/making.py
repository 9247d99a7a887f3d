"""How a store's features were made, read back from its provenance, so that new ones can be made alike."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from nprnn.configs import from_record
from nprnn.errors import ConfigError, DataError
from nprnn.video.backbone import BackboneConfig
from nprnn.video.decode import Picking
from nprnn.video.preprocess import Preprocess
from nprnn.video.worker import Order


@dataclass(frozen=True)
class Making:
    """How frames became features.

    Attributes:
        backbone: the network's file, or its import path.
        sha256: of that file, or of its weights.
        output: the output of an ONNX file; "" for code.
        preprocess: what it was shown of a frame.
        picking: which frames.
        versions: of the libraries that did it.
    """

    backbone: str
    sha256: str
    output: str
    preprocess: Preprocess
    picking: Picking
    versions: Mapping[str, str]

    @classmethod
    def of(cls, provenance: Mapping[str, Any]) -> Making:
        """Read what ``provenance`` wrote.

        Raises:
            DataError: it was not written there, as of features that others made, or does not tell all.
        """
        if "backbone" not in provenance or "backbone_sha256" not in provenance:
            told = ", ".join(f"{key} {value!r}" for key, value in provenance.items()) or "nothing"
            raise DataError(
                "features of new videos cannot be made, because the store does not say which backbone made its own: "
                f"they came ready-made ({told}). To predict for videos, train on a store that `nprnn features` made"
            )
        try:
            return cls(
                str(provenance["backbone"]),
                str(provenance["backbone_sha256"]),
                str(provenance["output"]),
                from_record(Preprocess, {field.name: provenance[field.name] for field in fields(Preprocess)}),
                from_record(Picking, provenance["picking"]),
                {str(name): str(version) for name, version in provenance["versions"].items()},
            )
        except (ConfigError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"the store's provenance does not say how its features were made: {error!r}") from error

    @property
    def is_code(self) -> bool:
        """Whether the backbone is a torch module out of a Python module."""
        return not self.output

    def order(self, given: str | None, places: Sequence[Path], batch: int) -> Order:
        """What a worker needs to make features as these were made.

        Args:
            given: where the user says that the backbone is; None looks at ``places``.
            places: where its file may be, the likeliest first. Code is never run on the word of a file.
            batch: frames through the backbone at a time.

        Raises:
            ConfigError: another backbone than the one that made the features, or code that is not named by the user.
            DataError: the backbone is not there, or no network.
        """
        if given is None:
            source = self._found(places)
        else:
            source = given
            if not self.is_code:
                self._check(given, _sha256(Path(given)))
        config = BackboneConfig(source, self.output or None, self.preprocess.size, batch)
        identity = config.load().identity
        self._check(source, identity.sha256)
        return Order(config, identity, self.preprocess, self.picking)

    def other_versions(self, now: Mapping[str, str]) -> list[str]:
        """The libraries that are not those of then, in words."""
        names = sorted({*self.versions, *now})
        return [
            f"{name} {self.versions.get(name, 'none')}, now {now.get(name, 'none')}"
            for name in names
            if self.versions.get(name) != now.get(name)
        ]

    def _found(self, places: Sequence[Path]) -> str:
        """The first of the places that holds the backbone."""
        if self.is_code:
            raise ConfigError(
                f"the features were made by code, {self.backbone}, which is not run unasked; if you trust what that "
                f"name means here, give --backbone {self.backbone}"
            )
        others = []
        for place in places:
            try:
                found = _sha256(place)
            except DataError:
                continue
            if found == self.sha256:
                return str(place)
            others.append(place)
        said = f"; {others[0]} is another file by now" if others else ""
        where = " or ".join(str(place) for place in dict.fromkeys(places)) or "where it was"
        raise DataError(
            f"the backbone {self.backbone} is not at {where}{said}; say where it is with --backbone FILE (its "
            f"sha256 is {self.sha256})"
        )

    def _check(self, source: str, sha256: str) -> None:
        if sha256 != self.sha256:
            raise ConfigError(
                f"{source} is another backbone (sha256 {sha256[:16]}…) than {self.backbone} (sha256 "
                f"{self.sha256[:16]}…), which made the features that the network was trained on; its answers would "
                "mean nothing. Give that one"
            )


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise DataError(f"the backbone {path} cannot be read: {error.strerror or error}") from error
