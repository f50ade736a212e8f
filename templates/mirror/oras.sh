#!/bin/sh
# Copies the images of a bundle to a registry with oras: every architecture, with the same digests.
set -u
if [ "$#" -lt 1 ] || [ "$1" = --help ]; then
  echo 'usage: oras.sh REGISTRY [OPTION OF oras cp]...' >&2
  exit 2
fi
registry=$1
shift
pairs() { printf '%s %s\n' @{pairs}; }
pairs | {
  failed=0
  while read -r source target; do
    if [ -z "$source" ]; then continue; fi
    echo "$source -> $registry/$target"
    oras cp "$@" "$source" "$registry/$target" </dev/null || failed=$((failed + 1))
  done
  if [ "$failed" -gt 0 ]; then
    echo "error: images not copied: $failed" >&2
    exit 1
  fi
}
