"""The name under which plugins import the spawner; it lives in ``tljh.hub.spawner``."""

from tljh.hub.spawner import UserCreatingSpawner

__all__ = ["UserCreatingSpawner"]
