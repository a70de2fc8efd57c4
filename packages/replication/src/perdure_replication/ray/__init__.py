"""Durable actors on a Ray cluster: `pip install 'perdure-replication[ray]'`."""

from perdure_replication.ray._host import HostInfo
from perdure_replication.ray._hosts import RayHosts
from perdure_replication.ray._ref import RayRef

__all__ = ["HostInfo", "RayHosts", "RayRef"]
