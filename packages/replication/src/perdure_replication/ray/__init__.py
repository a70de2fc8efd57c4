"""Durable actors, and nodes, on a Ray cluster: `pip install 'perdure-replication[ray]'`."""

from perdure_replication.ray._host import HostInfo
from perdure_replication.ray._hosts import RayHosts
from perdure_replication.ray._ports import RayPorts
from perdure_replication.ray._ref import RayRef
from perdure_replication.ray._runtime import RayRuntime

__all__ = ["HostInfo", "RayHosts", "RayPorts", "RayRef", "RayRuntime"]
