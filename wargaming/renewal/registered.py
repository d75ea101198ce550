"""Which formats are renewed here. Imported once, when the app is ready."""

from __future__ import annotations

from contextlib import AbstractContextManager

from django.conf import settings

from immune.formats import (
    package_json,
    package_lock,
    pipfile_lock,
    poetry_lock,
    pyproject_toml,
    requirements_txt,
    uv_lock,
    yarn_v1,
)
from immune.renewal import Wanted, register, register_check
from wargaming.renewal import beside, pyproject, registries
from wargaming.renewal.npm import NpmRenewer
from wargaming.renewal.pipenv import PipenvRenewer
from wargaming.renewal.poetry import PoetryRenewer
from wargaming.renewal.requirements import check_pins, renew_requirements
from wargaming.renewal.uv import UvRenewer
from wargaming.renewal.yarn import YarnRenewer
from wargaming.sandbox import drivers
from wargaming.sandbox.base import Driver
from wargaming.services import driver_name, work_folder


def _driver() -> AbstractContextManager[Driver]:
    return drivers.opened(driver_name(), work_folder())


def _check_pins(wanted: Wanted) -> None:
    if settings.REMEDY_PIN_CHECKS:
        check_pins(wanted)


registries.configure("PyPI", settings.PYPI_INDEX_URL, basic=settings.PYPI_INDEX_CREDENTIALS)
registries.configure("npm", settings.NPM_REGISTRY_URL, token=settings.NPM_REGISTRY_TOKEN)

_npm = NpmRenewer(_driver, work_folder)
_uv = UvRenewer(_driver, work_folder)
_yarn = YarnRenewer(_driver, work_folder)
_pipenv = PipenvRenewer(_driver, work_folder)
_poetry = PoetryRenewer(_driver, work_folder)

register(requirements_txt.FORMAT, renew_requirements)
register_check(requirements_txt.FORMAT, _check_pins)
register(package_lock.FORMAT, _npm.lock)
register(yarn_v1.FORMAT, _yarn.lock)
register(
    package_json.FORMAT,
    beside.renewer(
        {"npm-shrinkwrap.json": _npm.lock, "package-lock.json": _npm.lock, "yarn.lock": _yarn.lock},
        unknown=("pnpm-lock.yaml", "bun.lock", "bun.lockb"),
        alone=_npm.manifest,
    ),
)
register(uv_lock.FORMAT, _uv.lock)
register(pipfile_lock.FORMAT, _pipenv.lock)
register(poetry_lock.FORMAT, _poetry.lock)
register(
    pyproject_toml.FORMAT,
    beside.renewer(
        {"uv.lock": _uv.lock, "poetry.lock": _poetry.lock},
        unknown=("pdm.lock",),
        alone=pyproject.renewer(_uv.manifest),
    ),
)
