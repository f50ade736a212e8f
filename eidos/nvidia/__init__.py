"""NVIDIA's two sources, its management library and ``nvidia-smi``, and what a file tree shows of its driver.

Knows NVML, the XML of ``nvidia-smi -q -x``, and where a driver leaves traces; must not know what a snapshot makes of them.

``driver`` reads files only and costs next to nothing; ``nvml`` loads a library of the driver's and ``smi`` runs a program of
the driver's, so both belong into a process that can be abandoned. ``nvml_facts`` and ``smi_facts`` are tables: which reading
comes from which call and from which element. Both name the readings alike, and ``reading`` holds what they share.
"""

from __future__ import annotations
