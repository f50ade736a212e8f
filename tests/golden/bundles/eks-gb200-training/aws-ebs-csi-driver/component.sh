# shellcheck shell=sh disable=SC2034
# What this component is and what it brings to the cluster: data for install.sh and uninstall.sh.
release='aws-ebs-csi-driver'
chart='aws-ebs-csi-driver'
repository='https://kubernetes-sigs.github.io/aws-ebs-csi-driver'
version='2.64.0'
namespace='kube-system'
# Not empty: the manifests name their namespace, and the component keeps to it.
fixed=''
# Not empty: the manifests are of use without the chart too, where others do its work.
standalone='yes'
# The storage class of the manifests that becomes the default if the cluster has no other.
default_class='gp3'
# Not empty: it is not known which custom resource definitions this version of the chart has.
crds_unknown=''

list() {
  case "$1" in
    # Files to apply after the chart, in this order.
    manifests) set -- 'manifests/storageclass.yaml' ;;
    # Custom resource definitions that they need; the chart brings them.
    awaits) set --  ;;
    # What does this work, whoever installed it.
    served_by) set -- 'deployments --selector=app.kubernetes.io/name=aws-ebs-csi-driver' 'csinodes driver=ebs.csi.aws.com' ;;
    # Values that switch on a part of the chart, and what does the work of that part.
    parts) set --  ;;
    # Custom resource definitions of the chart, and the objects of each that the component makes itself.
    crds) set --  ;;
    # Releases that can be upgraded to this one; none: any older one, as far as is known.
    upgrades) set --  ;;
    # Other components that its values name, and by which text.
    bound_to) set --  ;;
    # DaemonSets that its operator creates where it finds nodes for them, and the label by which it finds them.
    operands) set --  ;;
    # DaemonSets of which no node needs to have a Pod.
    may_be_idle) set -- 'ebs-csi-node-windows' ;;
    # Fields that programs of the component change in the cluster.
    changed_by_itself) set --  ;;
    *) set -- ;;
  esac
  if [ "$#" -gt 0 ]; then printf '%s\n' "$@"; fi
}
