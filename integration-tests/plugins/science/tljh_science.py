"""A plugin that asks for a conda package, in a version that is not the newest, and for one of PyPI."""

from tljh.hooks import hookimpl


@hookimpl
def tljh_extra_user_conda_packages():
    return ["humanize <4.12"]


@hookimpl
def tljh_extra_user_pip_packages():
    return ["emoji"]
