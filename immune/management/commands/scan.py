"""``manage.py scan PATH``: what is wrong in a file or folder, by the advisories that are loaded. Writes nothing."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from immune.command import Exit, JSONCommand
from immune.path_scan import scan_path


class Command(JSONCommand):
    help = (
        "Read the manifests and lock files of PATH (one file, or a folder) and match them with the advisories that are "
        "loaded; nothing is written. 'dependencies' is the number of rows read, one for each place that names a package; "
        "'findings' has one entry for each advisory, version and manifest; 'unresolved' names what has no pinned version "
        "or comes from no registry and was not matched. Links are not followed, and folders of installed code are left "
        "out. Exit 0 nothing found, 1 findings, 2 when something could not be read or decided, or no advisories are "
        "loaded, also beside findings."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("path", metavar="PATH", help="a manifest, under its usual name, or a folder")

    def handle(self, *args: Any, **options: Any) -> None:
        found = scan_path(Path(options["path"]))
        said = found.as_dict()
        code = {"unreadable": Exit.BAD_INPUT, "findings": Exit.FOUND, "clean": Exit.DONE}[found.outcome]
        self.answer(
            said,
            code,
            form=options["format"],
            lines=[
                f"{said['dependencies']} dependencies: {len(said['findings'])} findings, "
                f"{len(said['unresolved'])} unresolved, {len(said['unreadable'])} unreadable",
                *(
                    f"{one['manifest']}: {one['package']} {one['version']}: {one['advisory']} ({one['severity']}), "
                    + (f"fixed in {', '.join(one['fixed_versions'])}" if one["fixed_versions"] else "no fix")
                    for one in said["findings"]
                ),
                *(f"unresolved {one['manifest']}: {one['package']}: {one['reason']}" for one in said["unresolved"]),
                *(f"unreadable {one['source']}: {one['reason']}" for one in said["unreadable"]),
            ],
        )
