"""NVIDIA's management library, ``nvidia-smi``, and what a file tree shows of the driver.

Knows NVML, the XML of ``nvidia-smi -q -x``, and where a driver leaves traces; must not know what a snapshot makes of them.

``driver_files`` and ``pci_bus`` read files only and cost next to nothing. ``nvml`` loads a library of the driver, ``nvidia_smi`` runs a
program of the driver: both may hang in the kernel and belong in a child process. ``nvml_readings`` and ``nvidia_smi_readings`` are tables:
which reading comes from which call or element, with the same keys; ``nvlink_readings`` are those of links between GPUs. ``gpu_values``
holds what the tables share, ``nvidia_smi_values`` the forms that a text of nvidia-smi must have to be a reading.
"""

from __future__ import annotations
