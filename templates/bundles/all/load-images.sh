#!/bin/sh
# Loads the images of this bundle into containerd on this node, where nodes reach no registry. Run it as root on each node; CTR names another
# ctr, such as CTR='k3s ctr'. The kubelet removes images that no Pod uses when the disk gets full: a registry is the better way.
set -u
case "${1:-}" in
  -h | --help)
    echo 'usage: load.sh [OPTION OF ctr images import]...'
    exit 0
    ;;
esac
ctr=${CTR:-ctr}
command -v "${ctr%% *}" >/dev/null || {
  echo "error: ${ctr%% *} not found in PATH" >&2
  echo 'hint: install it, or name another with CTR' >&2
  exit 1
}
CDPATH='' cd "$(dirname "$0")" || exit 1
# shellcheck disable=SC2086
tar -cf - oci-layout index.json blobs | $ctr --namespace k8s.io images import "$@" -
