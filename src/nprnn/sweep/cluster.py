"""A Ray cluster: reached, counted, and seen to have on every machine what this one has."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from nprnn.errors import ConfigError, RunError
from nprnn.optional import needed
from nprnn.sweep.post import versions

_SECONDS_TO_CONNECT = 10.0
_SECONDS_TO_ANSWER = 120.0
# Settings by the environment that decide what is computed, and where data lie.
_HANDED_ON = "NPRNN_"


class Cluster:
    """A Ray cluster, while entered.

    Args:
        address: of the cluster, from one of its machines: ``auto`` or ``HOST:PORT``.

    Attributes:
        ray: the library, connected.

    Raises:
        ConfigError: the library is not installed.
    """

    def __init__(self, address: str) -> None:
        self.ray = needed("ray", "A sweep on a cluster", "ray")
        self._address = address

    def __enter__(self) -> Cluster:
        """Connect, and see that every machine has what this one has.

        Raises:
            ConfigError: no cluster there, or machines with other versions.
        """
        _refuse_silence(self._address)
        handed_on = {name: value for name, value in os.environ.items() if name.startswith(_HANDED_ON)}
        try:
            self.ray.init(
                self._address,
                log_to_driver=False,
                logging_level="ERROR",
                runtime_env={"env_vars": handed_on} if handed_on else None,
            )
        except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
            raise ConfigError(_no_cluster(self._address, error)) from error
        try:
            self._check_machines()
        except BaseException:
            self.ray.shutdown()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of the cluster; what still runs there for this process ends."""
        self.ray.shutdown()

    def about(self) -> str:
        """The cluster, in a line."""
        gpus = self.count("GPU")
        said = f"Ray cluster of {len(self._machines())} machines, {self.count('CPU')} cores"
        return said + (f", {gpus} GPUs" if gpus else "")

    def count(self, resource: str) -> int:
        """How much of a resource there is now.

        Args:
            resource: by Ray's name: ``CPU``, ``GPU``, ``memory``.

        Returns:
            The sum over machines.
        """
        return sum(int(machine["Resources"].get(resource, 0)) for machine in self._machines())

    def refuse_unplaceable(self, needs: Mapping[str, float]) -> None:
        """See that some machine has what a worker takes; Ray would wait for one forever.

        Args:
            needs: resource to how much of it, by Ray's names.

        Raises:
            RunError: none has.
        """
        found = [{name: machine["Resources"].get(name, 0) for name in needs} for machine in self._machines()]
        if not any(all(has[name] >= much for name, much in needs.items()) for has in found):
            raise RunError(
                f"no machine of the cluster has what a shard takes, {_amounts(needs)}; they have "
                f"{'; '.join(map(_amounts, found))}: train fewer members at once with --ensemble, or add a machine"
            )

    def _machines(self) -> list[dict[str, Any]]:
        return [machine for machine in self.ray.nodes() if machine["Alive"]]

    def _check_machines(self) -> None:
        # Defined in here, so that it travels by value: a machine may have no nprnn at all.
        def probe() -> dict[str, str]:
            try:
                from nprnn.sweep.post import versions
            except ImportError as error:
                return {"error": str(error)}
            return versions()

        ray, own = self.ray, versions()
        on = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        asked = [
            (machine, ray.remote(probe).options(num_cpus=0, scheduling_strategy=on(machine["NodeID"], soft=False)))
            for machine in self._machines()
        ]
        answers = [(machine, ask.remote()) for machine, ask in asked]
        wrong = []
        for machine, answer in answers:
            try:
                found = ray.get(answer, timeout=_SECONDS_TO_ANSWER)
            except ray.exceptions.RayError as error:
                found = {"error": f"no answer ({type(error).__name__})"}
            if found != own:
                wrong.append(f"{machine['NodeManagerAddress']} has {_said(found)}")
        if wrong:
            raise ConfigError(
                f"the machines of the cluster must have what this one has ({_said(own)}): {'; '.join(wrong)}"
            )


def _refuse_silence(address: str) -> None:
    """Ray tries for a minute where nobody listens."""
    if address.startswith("ray://"):
        raise ConfigError(
            f"{address} is for Ray's client, and files come home to a machine of the cluster: run it on one, with "
            "--ray auto"
        )
    match = re.fullmatch(r"(.+):(\d+)", address)
    if match is None:
        return
    try:
        socket.create_connection((match[1].strip("[]"), int(match[2])), _SECONDS_TO_CONNECT).close()
    except (OSError, OverflowError) as error:
        raise ConfigError(_no_cluster(address, error)) from error


def _no_cluster(address: str, error: Exception) -> str:
    return (
        f"no Ray cluster can be used at {address}: {error}; start one with `ray start --head` and give its address, "
        "or auto on one of its machines"
    )


def _said(found: Mapping[str, str]) -> str:
    return found.get("error") or ", ".join(f"{name} {version}" for name, version in found.items())


def _amounts(resources: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {much:,.0f}" for name, much in resources.items())
