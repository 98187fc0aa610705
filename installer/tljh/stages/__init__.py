"""The story of an install: one file per stage, and the order, told once, here."""

from __future__ import annotations

from tljh.engine.build import Stage, ordered
from tljh.stages.accounts import Accounts
from tljh.stages.config import Config
from tljh.stages.context import Context
from tljh.stages.contributed.plugin_resources import PluginFiles, PluginServices
from tljh.stages.environments import Environments
from tljh.stages.hooks import PostInstallHooks
from tljh.stages.hub_environment import HubEnvironment
from tljh.stages.leaving.removal import Removal
from tljh.stages.locks.locking import Locking
from tljh.stages.proxy import Proxy
from tljh.stages.services import Services
from tljh.stages.system_packages import SystemPackages
from tljh.stages.taking_over.takeover import Takeover
from tljh.stages.user_environment import UserEnvironment
from tljh.stages.verification import Verification


def core_stages() -> list[Stage[Context]]:
    """The stages that change the machine, in order.

    Before them come preflight and plugins, which only look (``preflight`` and ``plugins`` beside this file).
    """
    return ordered(
        [
            Takeover(),  # 15
            Config(),  # 20
            SystemPackages(),  # 30
            Removal(),  # 35
            HubEnvironment(),  # 40
            UserEnvironment(),  # 50
            Environments(),  # 55
            Locking(),  # 56
            Accounts(),  # 60
            PluginFiles(),  # 65
            Proxy(),  # 70
            Services(),  # 80
            PluginServices(),  # 85
            Verification(),  # 90
            PostInstallHooks(),  # 100
        ]
    )
