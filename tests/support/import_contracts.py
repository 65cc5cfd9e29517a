"""A contract for import-linter that it does not bring along: a package that imports the standard library and itself."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import cast

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class StandardLibraryOnly(Contract):
    """``package`` and everything below it import the standard library, themselves and the modules ``allowed``."""

    package = fields.StringField()
    allowed = fields.ListField(fields.StringField(), required=False)

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Fails with every other import, also those within functions."""
        package = str(self.package)
        extra = cast("Sequence[str] | None", self.allowed)  # import-linter has put the values where the fields were
        allowed = {package.partition(".")[0], *sys.stdlib_module_names, *(extra or ())}
        modules = {package, *graph.find_descendants(package)}
        found = [(each, to) for each in modules for to in graph.find_modules_directly_imported_by(each)]
        wrong = sorted((each, to) for each, to in found if to not in modules | allowed)
        return ContractCheck(kept=not wrong, metadata={"wrong": wrong})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """One line for each import that breaks it."""
        for module, imported in check.metadata["wrong"]:
            output.print_error(f"{module} imports {imported}, which is not part of the standard library")
