"""What can be deployed: a chart, or manifests alone.

Knows the fields of an entry; must not know the file that it stands in, nor how it is rendered.
"""

from __future__ import annotations

from eidos.model.record import Record


class Chart(Record):
    """One entry: ``id`` is our name for it, ``chart`` the chart's, "" where there are manifests alone.

    ``after`` are ids that come before this one where both are installed, and that it does without where they are not. ``requires``
    are paths of readings that a recipe must have; ``images`` maps a version of the chart to references, in which expressions of
    templates may stand; ``images_unknown`` is a sentence on what is not known of them. ``service`` makes an entry a
    choice: service → the id of the entry that it stands for there.
    """

    id: str
    title: str
    chart: str
    repository: str
    version: str
    namespace: str
    depends: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    images: dict[str, tuple[str, ...]] = {}
    images_unknown: str = ""
    service: dict[str, str] = {}
