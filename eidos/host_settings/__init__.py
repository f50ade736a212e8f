"""Host settings: the forms in which a setting reaches a host.

Knows where each form lies; must not know why a setting should have its value, nor which checks, recipes or bundles there are. Everything
here is pure: :class:`~eidos.host_settings.setting.Setting` and :class:`~eidos.host_settings.setting.HostFacts` go in, a
:class:`~eidos.host_settings.setting.Delivery` comes out: files, commands, what that costs and how it is reverted.
:func:`eidos.host_settings.delivery.deliver` chooses the form; remedies of findings, their script and bundles use the same ones. A bundle
has all settings of a node at once, in the documents of :mod:`eidos.host_settings.platform_documents`.

===================== =========================================================================================
``system_files``      sysctl.d, modprobe.d, modules-load.d, limits.d, drop-ins and states of units, tmpfiles.d, CRI-O, the toolkit
``boot_parameters``   GRUB's drop-ins, grubby, kernelstub, rpm-ostree; by hand where a system has no such tool
``immutable_systems`` Bottlerocket, Talos, MachineConfig of OpenShift, Ignition of Flatcar
``node_pools``        AKS, GKE, user data of EKS and OKE, values of the GPU Operator; what a service lets nobody set
===================== =========================================================================================
"""

from __future__ import annotations
