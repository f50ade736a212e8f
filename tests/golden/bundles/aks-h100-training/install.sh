#!/usr/bin/env bash
# Installs or upgrades all components of this bundle, each after those that it depends on. Running it again changes nothing.
set -euo pipefail

order=('cert-manager' 'kube-prometheus-stack' 'gpu-operator' 'network-operator' 'kai-scheduler')

usage() {
  cat <<'END'
usage: install.sh [--dry-run] [--namespace NAME] [--context NAME] [--timeout TIME] [--recover]

  --dry-run         print the commands that would change the cluster; change nothing
  --namespace NAME  install every component to this one namespace
  --context NAME    use this context of the kubeconfig
  --timeout TIME    wait this long for each component (default 15m)
  --recover         undo an interrupted run (roll back or uninstall), then install
END
}

arguments=("$@")
while [ "$#" -gt 0 ]; do
  case "$1" in
    --dry-run | --recover) ;;
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

finished=""
for id in "${order[@]}"; do
  status=0
  "$here/$id/scripts/install.sh" ${arguments[@]+"${arguments[@]}"} || status=$?
  if [ "$status" -ne 0 ]; then
    printf 'error: %s was not installed (status %s)\n' "$id" "$status" >&2
    printf 'installed before it:%s\n' "${finished:- nothing}" >&2
    printf 'hint: installed components are kept; fix the error above and run this again\n' >&2
    exit 1
  fi
  finished="$finished $id"
done
printf 'all components:%s\n' "$finished"
