#!/bin/sh
# shellcheck disable=SC1091,SC2154
# Removes the components of this bundle, each before those that it depends on. Only releases and objects that install.sh made are removed.
# Custom resource definitions stay unless --delete-crds is given, and also then while they have objects of others.

order() { printf '%s\n' 'kai-scheduler' 'network-operator' 'gpu-operator' 'kube-prometheus-stack' 'cert-manager'; }

usage() {
  cat <<'END'
usage: uninstall.sh [options] [COMPONENT...]

Removes the named components, or all of them.

  --dry-run         print what would be deleted and what would stay; change nothing
  --delete-crds     also delete custom resource definitions, unless objects of others need them
  --namespace NAME  the namespace of the installation, for every component
  --context NAME    use this context of the kubeconfig
  --timeout TIME    wait this long for each component (default 15m)
  --yes             do not ask for confirmation (never asked without a terminal)
END
}

. "$(CDPATH='' cd "$(dirname "$0")" && pwd)/functions.sh" || exit 1

# look_at_crds: writes the lists $work/delete and $work/keep, "definition<TAB>reason" each; what does not exist is in neither.
look_at_crds() {
  : >"$work/delete"
  : >"$work/keep"
  servers=$(serving) || exit 1
  existing=$(definitions) || exit 1
  for one in $existing; do
    crd=${one%%"$tab"*} owner=${one#*"$tab"}
    made=$(list crds | sed -n "s/^$crd=//p")
    if [ -n "$servers" ]; then
      printf '%s\tneeded by %s\n' "$crd" "$(printf '%s\n' "$servers" | cut -f 1 | head -1)" >>"$work/keep"
    elif [ -n "$owner" ] && [ "$owner" != "$release/$namespace" ]; then
      printf '%s\tit belongs to release %s\n' "$crd" "$owner" >>"$work/keep"
    else
      objects "$crd" >"$work/objects" || exit 1
      awk -F '\t' -v crd="$crd" -v made="$made" -v release="$release/$namespace" -v namespace="$namespace" -v folder="$work" '
        BEGIN { count = split(made, names, ","); for (i = 1; i <= count; i++) by_itself[names[i]] = 1 }
        $1 != "" {
          path = $1; sub(/^[^ ]* /, "", path)
          name = path; sub(/.*\//, "", name)
          home = path; if (!sub(/\/.*/, "", home)) home = namespace
          if ($2 == release || $3 == "eidos" || ($2 == "" && (name in by_itself || ("*" in by_itself && home == namespace)))) mine = mine " " path
          else if (++others <= 5) theirs = theirs " " path
        }
        END {
          if (others) print crd "\tit has objects of others:" theirs (others > 5 ? " and " others - 5 " more" : "") >> (folder "/keep")
          else print crd "\t" (mine == "" ? "no objects" : "with" mine) >> (folder "/delete")
        }' "$work/objects"
    fi
  done
}

# uninstall_component ID
uninstall_component() {
  load_component "$1"
  state='' ours=false removed=false left=''
  if [ -n "$chart" ]; then
    read_release
    if [ -n "$state" ] && ! "$ours"; then
      say "left alone: release $release in namespace $namespace was not installed by eidos"
      outcome 'left alone' "release $release was not installed by eidos"
      return
    fi
    if [ -n "$state" ] && "$delete_crds"; then
      look_at_crds || exit 1
      sed "s/^\([^$tab]*\)$tab\(.*\)/$id: deletes \1, \2/" "$work/delete"
      sed "s/^\([^$tab]*\)$tab\(.*\)/$id: keeps \1: \2/" "$work/keep"
    fi
  fi
  for file in $(list manifests | sed '1!G;h;$!d'); do
    delete_manifest "$file" || exit 1
  done
  if [ -n "$state" ]; then
    change helm uninstall "$release" --namespace "$namespace" --wait --timeout "$timeout" || exit 1
    removed=true
    delete_definitions || exit 1
  elif [ -n "$chart" ]; then
    say "release $release not found in namespace $namespace"
    if "$delete_crds"; then
      kept=$(definitions | cut -f 1 | tr '\n' ' ')
      [ -z "$kept" ] || say "custom resource definitions kept: ${kept% }; they go only together with their release"
    fi
  fi
  if "$removed"; then
    result=removed
    ! "$dry_run" || result='would be removed'
    outcome "$result" ''
    say "$result"
  elif [ -n "$left" ]; then
    outcome 'left alone' "$left was not installed by eidos"
  else
    outcome 'not found' ''
  fi
}

# The last one applied goes first. A kind that the cluster no longer knows has no objects left.
delete_manifest() {
  path=$(manifest_file "$1") || exit 1
  case "$1" in https://*) path=$(without_definitions "$path") ;; esac
  [ -n "$path" ] || return 0
  foreign=$(foreign_objects "$path") || exit 1
  if [ -n "$foreign" ]; then
    left=$(printf '%s' "$foreign" | tr '\n' ' ')
    say "left alone: $left: not installed by eidos"
    return
  fi
  [ -s "$work/live-objects" ] || return 0
  say "$1"
  change kubectl delete --ignore-not-found --namespace "$namespace" --filename "$path" --wait --timeout "$timeout" || exit 1
  removed=true
}

# without_definitions FILE: a copy without custom resource definitions, whose objects may be of others; nothing if there is nothing else.
without_definitions() {
  awk '
    function flush() { if (!definition) printf "%s", document; document = ""; definition = 0 }
    /^---/ { flush() }
    { document = document $0 "\n" }
    /^kind: CustomResourceDefinition/ { definition = 1 }
    END { flush() }' "$1" >"$1.objects"
  if cmp -s "$1" "$1.objects"; then :; else say 'custom resource definitions of its manifests are kept' >&2; fi
  if grep -q '^kind:' "$1.objects"; then printf '%s\n' "$1.objects"; fi
}

delete_definitions() {
  if ! "$delete_crds"; then
    kept=$(definitions | cut -f 1 | tr '\n' ' ')
    [ -z "$kept" ] || say "custom resource definitions kept: ${kept% }"
    return
  fi
  if ! "$dry_run"; then look_at_crds || exit 1; fi
  [ -z "$crds_unknown" ] || say "which custom resource definitions chart $chart $version has is not known; none is deleted"
  # shellcheck disable=SC2013
  for crd in $(cut -f 1 "$work/delete"); do
    change kubectl delete customresourcedefinition "$crd" --ignore-not-found --wait --timeout "$timeout" || exit 1
  done
}

read_options '--delete-crds --yes' "$@"
need_cluster
chosen=$(order | if [ -n "$components" ]; then printf '%s' "$components" >"$work/chosen" && grep -Fx -f "$work/chosen"; else cat; fi)

if [ -t 0 ] && [ -t 2 ] && ! "$yes" && ! "$dry_run"; then
  printf 'Remove %s? [y/N] ' "$(printf '%s' "$chosen" | tr '\n' ' ')" >&2
  read -r reply
  case "$reply" in
    y | Y | yes) ;;
    *) fail 'not confirmed; nothing was removed' ;;
  esac
fi

for one in $chosen; do
  if ! (uninstall_component "$one"); then
    summary
    fail "$one was not removed, nor were its dependencies" 'fix the error above and run this again'
  fi
done
summary
if "$dry_run"; then echo 'nothing was changed'; fi
