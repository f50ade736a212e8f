#!/bin/sh
# Pulls the charts of a bundle into the folder charts/ beside this script; with REGISTRY, pushes them there, too.
set -u
if [ "${1:-}" = --help ]; then
  echo 'usage: helm.sh [REGISTRY [OPTION OF helm push]...]' >&2
  exit 2
fi
registry=${1:-}
if [ -n "$registry" ]; then shift; fi
here=$(CDPATH='' cd "$(dirname "$0")" && pwd)
mkdir -p "$here/charts" || exit 1
charts() { printf '%s %s %s %s\n' @{charts}; }
# locate NAME VERSION: the file of a chart, if it is there, with or without the v of its version.
locate() {
  for file in "$here/charts/$1-$2.tgz" "$here/charts/$1-${2#v}.tgz"; do
    if [ -f "$file" ]; then echo "$file" && return; fi
  done
}
pull() {
  case "$3" in
    oci://*) helm pull "$3/$1" --version "$2" --destination "$here/charts" ;;
    *) helm pull "$1" --repo "$3" --version "$2" --destination "$here/charts" ;;
  esac
}
charts | {
  failed=0
  while read -r name version repository path; do
    if [ -z "$name" ]; then continue; fi
    echo "$name $version"
    if [ -z "$(locate "$name" "$version")" ]; then pull "$name" "$version" "$repository" </dev/null; fi
    file=$(locate "$name" "$version")
    if [ -z "$file" ]; then
      failed=$((failed + 1))
    elif [ -n "$registry" ]; then
      helm push "$file" "oci://$registry${path#.}" "$@" </dev/null || failed=$((failed + 1))
    fi
  done
  if [ "$failed" -gt 0 ]; then
    echo "error: charts not copied: $failed" >&2
    exit 1
  fi
}
