"""What a debug run is given of its project: settings, group, the rest of its row. Only reads the projectdb."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from crawlkit.database.base import ProjectStore
from crawlkit.libs.rows import ProjectRow
from crawlkit.processor.grants import About, Unseal, about, opened
from crawlkit.processor.masking import Mask
from crawlkit.processor.orders import Script, Settings
from crawlkit.webui.debug.step import StepRequest


@dataclass
class Given:
    """A project as a worker learns of it. One that nobody has saved yet has nothing."""

    project: str
    group: str = ""
    about: About = field(default_factory=dict)
    settings: Settings = field(default_factory=lambda: Settings(""))

    def mask(self) -> Mask:
        """What finds the values of the project's secrets."""
        return Mask(self.settings.values[name] for name in self.settings.secret)

    def script(self, request: StepRequest) -> Script:
        """The script for a worker."""
        return Script(self.project, request.version, request.script.encode("utf-8", "surrogatepass"), self.about)


def read_given(projectdb: ProjectStore, unseal: Unseal, project: str, row: ProjectRow | None) -> Given:
    """Blocks; raises ``StoreUnavailable``."""
    if row is None:
        return Given(project, settings=Settings(project))
    return Given(project, row.group, about(row), opened(project, projectdb.settings(project), unseal))


def scripts_of(projectdb: ProjectStore) -> Callable[[str], bytes | None]:
    """What gives the script of another project, for ``from projects import other``."""

    def script_of(project: str) -> bytes | None:
        row = projectdb.get(project)
        if row is None:
            return None
        text = projectdb.script(project, row.pin) if row.pin else row.script
        return None if text is None else text.encode("utf-8", "surrogatepass")

    return script_of
