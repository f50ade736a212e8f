# shellcheck shell=sh disable=SC2034
# What this component is and what it brings to the cluster: data for install.sh and uninstall.sh.
release='gpu-operator'
chart='gpu-operator'
repository='https://helm.ngc.nvidia.com/nvidia'
version='v26.7.0'
namespace='gpu-operator'
# Not empty: the manifests name their namespace, and the component keeps to it.
fixed=''
# Not empty: the manifests are of use without the chart too, where others do its work.
standalone=''
# The storage class of the manifests that becomes the default if the cluster has no other.
default_class=''
# Not empty: it is not known which custom resource definitions this version of the chart has.
crds_unknown=''

list() {
  case "$1" in
    # Files to apply after the chart, in this order.
    manifests) set --  ;;
    # Custom resource definitions that they need; the chart brings them.
    awaits) set --  ;;
    # What does this work, whoever installed it.
    served_by) set -- 'deployments --selector=app.kubernetes.io/component=gpu-operator' 'clusterpolicies.nvidia.com' ;;
    # Values that switch on a part of the chart, and what does the work of that part.
    parts) set -- 'nfd.enabled deployments --selector=app.kubernetes.io/name=node-feature-discovery' 'nfd.enabled deployments --selector=app=nfd' ;;
    # Custom resource definitions of the chart, and the objects of each that the component makes itself.
    crds) set -- 'clusterpolicies.nvidia.com' 'gpuclusters.nvidia.com' 'nvidiadrivers.nvidia.com' 'computedomaincliques.resource.nvidia.com=*' 'computedomains.resource.nvidia.com' 'nodefeatures.nfd.k8s-sigs.io=*' 'nodefeaturegroups.nfd.k8s-sigs.io' 'nodefeaturerules.nfd.k8s-sigs.io' ;;
    # Releases that can be upgraded to this one; none: any older one, as far as is known.
    upgrades) set -- '26.3' '26.7' ;;
    # Other components that its values name, and by which text.
    bound_to) set --  ;;
    # DaemonSets that its operator creates where it finds nodes for them, and the label by which it finds them.
    operands) set -- 'nvidia-operator-validator feature.node.kubernetes.io/pci-10de.present=true' ;;
    # DaemonSets of which no node needs to have a Pod.
    may_be_idle) set --  ;;
    # Fields that programs of the component change in the cluster.
    changed_by_itself) set --  ;;
    *) set -- ;;
  esac
  if [ "$#" -gt 0 ]; then printf '%s\n' "$@"; fi
}
