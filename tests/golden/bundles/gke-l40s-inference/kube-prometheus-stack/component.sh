# shellcheck shell=sh disable=SC2034
# What this component is and what it brings to the cluster: data for install.sh and uninstall.sh.
release='kube-prometheus-stack'
chart='kube-prometheus-stack'
repository='https://prometheus-community.github.io/helm-charts'
version='86.2.3'
namespace='monitoring'
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
    served_by) set -- 'prometheuses.monitoring.coreos.com' 'deployments --selector=app.kubernetes.io/component=prometheus-operator' 'deployments --selector=app.kubernetes.io/name=prometheus-operator' 'deployments --selector=app.kubernetes.io/name=prometheus' 'statefulsets --selector=app.kubernetes.io/name=prometheus' ;;
    # Values that switch on a part of the chart, and what does the work of that part.
    parts) set -- 'nodeExporter.enabled daemonsets port=9100' ;;
    # Custom resource definitions of the chart, and the objects of each that the component makes itself.
    crds) set -- 'alertmanagerconfigs.monitoring.coreos.com' 'alertmanagers.monitoring.coreos.com' 'podmonitors.monitoring.coreos.com' 'probes.monitoring.coreos.com' 'prometheusagents.monitoring.coreos.com' 'prometheuses.monitoring.coreos.com' 'prometheusrules.monitoring.coreos.com' 'scrapeconfigs.monitoring.coreos.com' 'servicemonitors.monitoring.coreos.com' 'thanosrulers.monitoring.coreos.com' ;;
    # Releases that can be upgraded to this one; none: any older one, as far as is known.
    upgrades) set --  ;;
    # Other components that its values name, and by which text.
    bound_to) set --  ;;
    # DaemonSets that its operator creates where it finds nodes for them, and the label by which it finds them.
    operands) set --  ;;
    # DaemonSets of which no node needs to have a Pod.
    may_be_idle) set --  ;;
    # Fields that programs of the component change in the cluster.
    changed_by_itself) set -- 'failurePolicy' ;;
    *) set -- ;;
  esac
  if [ "$#" -gt 0 ]; then printf '%s\n' "$@"; fi
}
