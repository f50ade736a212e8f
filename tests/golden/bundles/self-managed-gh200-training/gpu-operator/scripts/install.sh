#!/usr/bin/env bash
# Installs or upgrades one component: its chart with values.yaml, then what lies in manifests/. Running it again changes nothing.
set -euo pipefail

id='gpu-operator'
release='gpu-operator'
chart='gpu-operator'
repository='https://helm.ngc.nvidia.com/nvidia'
version='v26.3.3'
namespace='gpu-operator'
made_for=$namespace
# Custom resource definitions that the manifests need; the chart brings them.
awaits=()
# A resource that only this component creates, to detect an installation by another owner.
probe=''
# Not empty: the manifests name their namespace, and the component keeps to it.
fixed=''
# Files to apply once the chart is in, in this order, relative to this component's folder.
manifests=()

timeout=15m
context=""
dry_run=false
recover=false

usage() {
  cat <<'END'
usage: install.sh [--dry-run] [--namespace NAME] [--context NAME] [--timeout TIME] [--recover]

  --dry-run         print the commands that would change the cluster; change nothing
  --namespace NAME  install to this namespace instead of the default one
  --context NAME    use this context of the kubeconfig
  --timeout TIME    wait this long for the component to become ready (default 15m)
  --recover         undo an interrupted run (roll back or uninstall), then install
END
}

say() { printf '%s: %s\n' "$id" "$*"; }

fail() {
  printf '%s: error: %s\n' "$id" "$1" >&2
  if [ "$#" -gt 1 ]; then printf '%s: hint: %s\n' "$id" "$2" >&2; fi
  exit 1
}

while [ "$#" -gt 0 ]; do
  case "$1" in
    --dry-run) dry_run=true ;;
    --recover) recover=true ;;
    --namespace | --context | --timeout)
      if [ "$#" -lt 2 ] || [ -z "$2" ]; then printf '%s: error: %s needs a value\n' "$id" "$1" >&2; exit 2; fi
      case "$1" in
        --namespace) namespace=$2 ;;
        --context) context=$2 ;;
        --timeout) timeout=$2 ;;
      esac
      shift
      ;;
    -h | --help) usage; exit 0 ;;
    *) printf '%s: error: unknown argument %s\n' "$id" "$1" >&2; usage >&2; exit 2 ;;
  esac
  shift
done

if [ -n "$fixed" ] && [ "$namespace" != "$made_for" ]; then
  say "using namespace $made_for, which is fixed in its manifests"
  namespace=$made_for
fi

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
kubectl=(kubectl)
helm=(helm)
if [ -n "$context" ]; then
  kubectl+=(--context "$context")
  helm+=(--kube-context "$context")
fi

# Runs a command that changes the cluster, or prints it.
change() {
  if "$dry_run"; then
    printf 'would run:'
    printf ' %q' "$@"
    printf '\n'
  else
    "$@"
  fi
}

for tool in kubectl helm; do
  command -v "$tool" >/dev/null || fail "$tool not found in PATH" "install $tool, or add its folder to PATH"
done
if ! answer=$("${kubectl[@]}" get --raw /version --request-timeout=15s 2>&1); then
  fail "cannot reach the cluster: $answer" "run 'kubectl config current-context' to see which cluster is used"
fi

# Two owners of one resource conflict, so an installation by another owner is not changed.
skip=false
if [ -n "$probe" ]; then
  if [ -n "$chart" ]; then
    path='{.metadata.annotations.meta\.helm\.sh/release-name}{"/"}{.metadata.annotations.meta\.helm\.sh/release-namespace}'
    ours="$release/$namespace"
  else
    path='{.metadata.labels.app\.kubernetes\.io/managed-by}{"/"}'
    ours="eidos/"
  fi
  if ! owner=$("${kubectl[@]}" get "$probe" --ignore-not-found --output "jsonpath=$path" 2>&1); then
    fail "cannot check for an existing $id: $owner"
  fi
  case "$owner" in
    '' | "$ours") ;;
    /) skip=true && say "$probe already exists, with an unknown owner; not changed" ;;
    *) skip=true && say "$probe already exists and belongs to ${owner%/}; not changed" ;;
  esac
fi

if [ -n "$chart" ] && ! "$skip"; then
  # An interrupted run leaves a pending release, which helm refuses to change.
  if ! pending=$("${helm[@]}" list --namespace "$namespace" --pending --short --filter "^$release\$" 2>&1); then
    fail "helm cannot list the releases of namespace $namespace: $pending"
  fi
  if [ -n "$pending" ]; then
    if ! "$recover"; then
      fail "release $release is pending: another run is active or was interrupted" "if no other run is active, run this again with --recover"
    fi
    if ! deployed=$("${helm[@]}" history "$release" --namespace "$namespace" --output yaml 2>&1); then
      fail "helm cannot show the history of release $release: $deployed"
    fi
    case "$deployed" in
      *'status: deployed'* | *'status: superseded'*) change "${helm[@]}" rollback "$release" --namespace "$namespace" --wait --timeout "$timeout" ;;
      *) change "${helm[@]}" uninstall "$release" --namespace "$namespace" --wait --timeout "$timeout" ;;
    esac
  fi
  from=()
  if [ -n "$repository" ]; then from=(--repo "$repository"); fi
  say "chart $chart $version as release $release in namespace $namespace"
  change "${helm[@]}" upgrade --install "$release" "$chart" ${from[@]+"${from[@]}"} --version "$version" \
    --namespace "$namespace" --create-namespace --values "$here/values.yaml" --wait --timeout "$timeout"
fi

# A component without a chart has only manifests, which are skipped with it.
if [ -z "$chart" ] && "$skip"; then manifests=(); fi
if [ "${#manifests[@]}" -gt 0 ]; then
  if [ -z "$chart" ] && [ "$namespace" != default ] && [ "$namespace" != kube-system ]; then
    if ! found=$("${kubectl[@]}" get namespace "$namespace" --ignore-not-found --output name 2>&1); then
      fail "cannot check namespace $namespace: $found"
    fi
    if [ -z "$found" ]; then change "${kubectl[@]}" create namespace "$namespace"; fi
  fi
  for crd in ${awaits[@]+"${awaits[@]}"}; do
    change "${kubectl[@]}" wait --for=condition=Established "customresourcedefinition/$crd" --timeout "$timeout"
  done
  for file in "${manifests[@]}"; do
    say "$file"
    change "${kubectl[@]}" apply --server-side --field-manager=eidos --namespace "$namespace" --filename "$here/$file"
  done
fi
if "$dry_run"; then say "nothing was changed"; else say "installed"; fi
