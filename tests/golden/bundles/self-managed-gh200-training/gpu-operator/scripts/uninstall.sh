#!/usr/bin/env bash
# Removes one component: what was applied from manifests/, then its chart. What does not exist is skipped.
# Custom resource definitions are kept unless --delete-crds is given: every resource of their kinds goes with them.
set -euo pipefail

id='gpu-operator'
release='gpu-operator'
chart='gpu-operator'
namespace='gpu-operator'
made_for=$namespace
# A resource that only this component creates, to detect an installation by another owner.
probe=''
fixed=''
crds=('clusterpolicies.nvidia.com' 'nvidiadrivers.nvidia.com' 'gpuclusters.nvidia.com' 'nodefeatures.nfd.k8s-sigs.io' 'nodefeaturegroups.nfd.k8s-sigs.io' 'nodefeaturerules.nfd.k8s-sigs.io')
manifests=()

timeout=15m
context=""
dry_run=false
delete_crds=false
yes=false

usage() {
  cat <<'END'
usage: uninstall.sh [--dry-run] [--namespace NAME] [--context NAME] [--timeout TIME] [--delete-crds] [--yes]

  --dry-run         print the commands that would change the cluster; change nothing
  --namespace NAME  the namespace of the installation
  --context NAME    use this context of the kubeconfig
  --timeout TIME    wait this long for everything to be deleted (default 15m)
  --delete-crds     also delete custom resource definitions, and all resources of their kinds in every namespace
  --yes             do not ask for confirmation (never asked without a terminal)
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
    --delete-crds) delete_crds=true ;;
    --yes) yes=true ;;
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

if [ -t 0 ] && [ -t 2 ] && ! "$yes" && ! "$dry_run"; then
  printf 'Remove %s from namespace %s? [y/N] ' "$id" "$namespace" >&2
  read -r reply
  case "$reply" in
    y | Y | yes) ;;
    *) fail "not confirmed; nothing was removed" ;;
  esac
fi

# An installation by another owner was not changed by install.sh, and is not removed here.
if [ -n "$probe" ]; then
  if [ -n "$chart" ]; then
    path='{.metadata.annotations.meta\.helm\.sh/release-name}{"/"}{.metadata.annotations.meta\.helm\.sh/release-namespace}'
    ours="$release/$namespace"
  else
    path='{.metadata.labels.app\.kubernetes\.io/managed-by}{"/"}'
    ours="eidos/"
  fi
  if ! owner=$("${kubectl[@]}" get "$probe" --ignore-not-found --output "jsonpath=$path" 2>&1); then
    fail "cannot check the owner of $probe: $owner"
  fi
  case "$owner" in
    '' | "$ours") ;;
    *)
      say "$probe does not belong to this bundle; not changed"
      exit 0
      ;;
  esac
fi

# The last one applied goes first. A kind that the cluster no longer knows has no resources left.
for ((i = ${#manifests[@]} - 1; i >= 0; i--)); do
  file=${manifests[i]}
  say "$file"
  delete=("${kubectl[@]}" delete --ignore-not-found --namespace "$namespace" --filename "$here/$file" --wait --timeout "$timeout")
  if "$dry_run"; then
    change "${delete[@]}"
  elif ! answer=$("${delete[@]}" 2>&1); then
    case "$answer" in
      *'no matches for kind'* | *'(NotFound)'*) say "$file: not found" ;;
      *) fail "cannot delete $file: $answer" ;;
    esac
  elif [ -n "$answer" ]; then
    printf '%s\n' "$answer"
  fi
done

if [ -n "$chart" ]; then
  if ! found=$("${helm[@]}" list --namespace "$namespace" --deployed --failed --pending --uninstalling --short --filter "^$release\$" 2>&1); then
    fail "helm cannot list the releases of namespace $namespace: $found"
  fi
  if [ -n "$found" ]; then
    change "${helm[@]}" uninstall "$release" --namespace "$namespace" --wait --timeout "$timeout"
  else
    say "release $release not found in namespace $namespace"
  fi
fi

if [ "${#crds[@]}" -gt 0 ]; then
  if "$delete_crds"; then
    for crd in "${crds[@]}"; do
      change "${kubectl[@]}" delete customresourcedefinition "$crd" --ignore-not-found --wait --timeout "$timeout"
    done
  else
    say "custom resource definitions kept: ${crds[*]}"
  fi
fi
if "$dry_run"; then say "nothing was changed"; else say "removed"; fi
