#!/bin/sh
# Copies the images of this bundle to a registry with skopeo: every architecture, with the same digests.
set -u
usage='usage: copy.sh REGISTRY [OPTION OF skopeo copy]...'
case "${1:-}" in
  -h | --help)
    echo "$usage"
    exit 0
    ;;
  '' | -*)
    echo "$usage" >&2
    exit 2
    ;;
esac
registry=${1%/}
shift
mirror=@{images.registry}
here=$(CDPATH='' cd "$(dirname "$0")" && pwd)
command -v skopeo >/dev/null || {
  echo 'error: skopeo not found in PATH' >&2
  echo "hint: install skopeo, or run 'eidos mirror ${here%/images} --push $registry', which needs no other program" >&2
  exit 1
}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
pairs() { printf '%s\n' @{images.pairs}; }
# skopeo reads manifests of Docker only from a folder of the kind dir:, with manifest.json for the image and HEX.manifest.json for its parts.
mkdir "$work/dir"
echo 'Directory Transport Version: 1.1' >"$work/dir/version"
for file in "$here"/blobs/sha256/*; do
  ln -s "$file" "$work/dir/${file##*/}"
  ln -s "$file" "$work/dir/${file##*/}.manifest.json"
done
# copy HEX TARGET [OPTION]... Some releases of skopeo exit 0 after wrong usage; they write the digest only of what was copied.
copy() {
  hex=$1 target=$2
  shift 2
  rm -f "$work/digest" "$work/dir/manifest.json"
  ln -s "$here/blobs/sha256/$hex" "$work/dir/manifest.json"
  skopeo copy --all --preserve-digests --digestfile "$work/digest" "$@" "dir:$work/dir" "docker://$target" </dev/null &&
    [ "$(cat "$work/digest")" = "sha256:$hex" ]
}
pairs | {
  failed=0
  while read -r hex path; do
    echo "$registry/$path"
    copy "$hex" "$registry/$path" "$@" || failed=$((failed + 1))
  done
  if [ "$failed" -gt 0 ]; then
    echo "error: images not copied: $failed" >&2
    exit 1
  fi
} || exit 1
if [ "$registry" != "$mirror" ]; then
  echo "warning: the values of this bundle pull images from ${mirror:-public registries}, and not from $registry" >&2
fi
