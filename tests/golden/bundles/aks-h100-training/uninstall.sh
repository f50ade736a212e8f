#!/usr/bin/env bash
# Removes all components of this bundle, each before those that it depends on. What does not exist is skipped.
# Custom resource definitions are kept unless --delete-crds is given.
set -euo pipefail

backwards=('kai-scheduler' 'network-operator' 'gpu-operator' 'kube-prometheus-stack' 'cert-manager')

usage() {
  cat <<'END'
usage: uninstall.sh [--dry-run] [--namespace NAME] [--context NAME] [--timeout TIME] [--delete-crds] [--yes]

  --dry-run         print the commands that would change the cluster; change nothing
  --namespace NAME  the namespace of the installation, for every component
  --context NAME    use this context of the kubeconfig
  --timeout TIME    wait this long for each component (default 15m)
  --delete-crds     also delete custom resource definitions, and all resources of their kinds in every namespace
  --yes             do not ask for confirmation (never asked without a terminal)
END
}

arguments=("$@")
yes=false
dry_run=false
while [ "$#" -gt 0 ]; do
  case "$1" in
    --dry-run) dry_run=true ;;
    --yes) yes=true ;;
    --delete-crds) ;;
    --namespace | --context | --timeout)
      if [ "$#" -lt 2 ] || [ -z "$2" ]; then printf 'error: %s needs a value\n' "$1" >&2; exit 2; fi
      shift
      ;;
    -h | --help) usage; exit 0 ;;
    *) printf 'error: unknown argument %s\n' "$1" >&2; usage >&2; exit 2 ;;
  esac
  shift
done

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
for tool in kubectl helm; do
  if ! command -v "$tool" >/dev/null; then
    printf 'error: %s not found in PATH\nhint: install it, or add its folder to PATH\n' "$tool" >&2
    exit 1
  fi
done

if [ -t 0 ] && [ -t 2 ] && ! "$yes" && ! "$dry_run"; then
  printf 'Remove all components: %s? [y/N] ' "${backwards[*]}" >&2
  read -r reply
  case "$reply" in
    y | Y | yes) arguments+=(--yes) ;;
    *) printf 'error: not confirmed; nothing was removed\n' >&2; exit 1 ;;
  esac
fi

finished=""
for id in "${backwards[@]}"; do
  status=0
  "$here/$id/scripts/uninstall.sh" ${arguments[@]+"${arguments[@]}"} || status=$?
  if [ "$status" -ne 0 ]; then
    printf 'error: %s was not removed (status %s), nor were its dependencies\n' "$id" "$status" >&2
    printf 'removed before it:%s\n' "${finished:- nothing}" >&2
    printf 'hint: fix the error above and run this again\n' >&2
    exit 1
  fi
  finished="$finished $id"
done
if "$dry_run"; then
  printf 'nothing was changed; a run without --dry-run would remove:%s\n' "$finished"
else
  printf 'removed:%s\n' "$finished"
fi
