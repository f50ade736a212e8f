#!/bin/sh
# Copies the images of a bundle with skopeo: to a registry, or by way of a folder. Every architecture, with the same digests.
set -u
usage() {
  cat >&2 <<'END'
usage: skopeo.sh REGISTRY [OPTION OF skopeo copy]...             copy to a registry
       skopeo.sh --save DIR [OPTION OF skopeo copy]...           save to a folder
       skopeo.sh --load DIR REGISTRY [OPTION OF skopeo copy]...  copy from that folder to a registry
END
  exit 2
}
need() { if [ "$1" -lt "$2" ]; then usage; fi; }
folder='' registry=''
case "${1:-}" in
  --save) need "$#" 2 && folder=$2 && shift 2 ;;
  --load) need "$#" 3 && folder=$2 registry=$3 && shift 3 ;;
  '' | -*) usage ;;
  *) registry=$1 && shift ;;
esac
pairs() { printf '%s %s\n' @{pairs}; }
# copy SOURCE TARGET [OPTION]... The folder of an image has = in place of : and @, which not every file system takes.
copy() {
  source=$1 target=$2
  shift 2
  saved=$folder/$(echo "$target" | sed 's/[:@]/=/g')
  if [ -z "$folder" ]; then
    transfer "docker://$source" "docker://$registry/$target" "$@"
  elif [ -n "$registry" ]; then
    if [ ! -s "$saved/manifest.json" ]; then echo "error: $saved: no image" >&2 && return 1; fi
    transfer "dir:$saved" "docker://$registry/$target" "$@"
  elif [ -s "$saved/manifest.json" ]; then # which is written last
    echo "$saved: saved already"
  else
    mkdir -p "$saved" && transfer "docker://$source" "dir:$saved" "$@"
  fi
}
# transfer FROM TO [OPTION]... Some releases of skopeo exit 0 after wrong usage; they write the digest only of what was copied.
transfer() {
  from=$1 to=$2
  shift 2
  echo "$from -> $to"
  : >"$digest"
  skopeo copy --all --preserve-digests --digestfile "$digest" "$@" "$from" "$to" </dev/null && [ -s "$digest" ]
}
digest=$(mktemp) || exit 1
trap 'rm -f "$digest"' EXIT
pairs | {
  failed=0
  while read -r source target; do
    if [ -z "$source" ]; then continue; fi
    copy "$source" "$target" "$@" || failed=$((failed + 1))
  done
  if [ "$failed" -gt 0 ]; then
    echo "error: images not copied: $failed" >&2
    exit 1
  fi
}
