"""From a recipe to the files that deploy it.

Knows no step itself; must not know flags or threads: ``workflow.make_bundle`` runs what is here, component by component. In the order of a
bundle:

======================  ==========================================================================================================
``bundle_options``      what the caller chooses
``install_plan``        which components there are, in which order, with which chart and version
``template_sets``       which templates a component has: ``templates/bundles/<component>/``
``template_variables``  what ``@{name}`` stands for in them
``chart_values``        the layers of a chart's values, checked by ``model.values_schema`` (``recipes/values/``)
``component_files``     the files of one component; ``registry_mirror`` moves images and charts to a mirror
``engine``              all components, and the files at the top: ``image_list``, ``mirror_lists``, ``statement``, ``checksums``
``plan_builder``        the plan; ``existing_cluster`` is what runs already, ``installation_facts`` what is interrupted
``node_tuning``         the folder ``node/``, which brings the recipe's settings to hosts
``deployers``           the same for Argo CD, Flux, helmfile or plain manifests
``image_archives``      images that the bundle carries, ``chart_archives`` charts
``folder_writer``       writes a folder, ``tar_archive`` and ``zip_archive`` an archive; ``bundle_reader`` reads them
``verification``        checks them
``attestation_writer``  adds a signature to a bundle that is there
``evidence_archive``    the files of evidence about nodes, which are archived and verified as a bundle is
``template_lint``       reports faults of templates
======================  ==========================================================================================================

What differs by service, accelerator or operating system is data. The value of a chart, such as the toolkit's path on GKE, is in the
overlay: ``recipes/overlays/service-gke.yaml``, ``components.gpu-operator.values``. What every recipe says of a chart is in its
``templates/bundles/<component>/values.yaml``; a template's own setting for one service is in ``bundle.yaml``, under ``services``.
"""

from __future__ import annotations
