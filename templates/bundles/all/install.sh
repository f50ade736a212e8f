#!/bin/sh
# shellcheck disable=SC1091,SC2154
# Installs or upgrades the components of this bundle, each after those that it depends on. Running it again changes nothing.
#
# All components are looked at first. Nothing is changed if one of them would touch what eidos did not install, go back to an
# older version, or overwrite changes that were made by hand. Functions are in functions.sh, facts of a component in its component.sh.

order() { printf '%s\n' @{order}; }

usage() {
  cat <<'END'
usage: install.sh [options] [COMPONENT...]

Installs the named components, or all of them.

  --dry-run          print the commands of a first installation; needs neither cluster nor helm
  --dry-run=server   print what would be changed, taken over and left alone; change nothing
  --diff             the same, with what would differ in each object; secrets are withheld
  --adopt            take over releases and objects that eidos did not install
  --use-existing     leave releases of the same name as they are, and go on
  --force-conflicts  overwrite changes that were made by hand
  --any-upgrade      upgrade from releases that the project does not upgrade from
  --allow-idle       go on if a component has no Pod on any node, as where nodes with GPUs join later
  --recover          undo an interrupted run (roll back or uninstall), then install
  --namespace NAME   install every component to this one namespace
  --context NAME     use this context of the kubeconfig
  --charts DIR       take charts from this folder: NAME-VERSION.tgz, as helm pull writes them, or unpacked: NAME
  --registry NAME    first copy the images that the bundle carries to this registry, with skopeo: mirror.example.com/x
  --timeout TIME     wait this long for each component (default 15m)
  --plain-http       fetch charts over HTTP, and copy images over HTTP
  --ca-file FILE     verify the chart repository, and the registry of --registry, with these certificates
END
}

. "$(CDPATH='' cd "$(dirname "$0")" && pwd)/functions.sh" || exit 1

# look_at ID: decides what has to be done with the chart, and writes it down: $action and $why. What must not be done is an error.
look_at() {
  load_component "$1"
  locate_chart
  mkdir -p "$work/$id"
  decide
  value=''
  for name in state action why take_ownership hand_made; do
    eval "value=\$$name"
    printf '%s=%s\n' "$name" "$(quote "$value")"
  done >"$work/$id/decision"
}

decide() {
  action=install why='' take_ownership=false hand_made=''
  if [ -n "$chart" ]; then read_release; else state='' ours=false; fi
  case "$state" in
    '') decide_new ;;
    uninstalling)
      "$ours" || fail "release $release in namespace $namespace is being uninstalled, and is not of this bundle" \
        "finish with 'helm uninstall $release --namespace $namespace', then run this again"
      action=finish why='an interrupted uninstallation is finished first'
      ;;
    pending-*)
      "$ours" || "$adopt" || fail "release $release in namespace $namespace is $state, and is not of this bundle" \
        'wait until its installation has ended, then run this again'
      "$recover" ||
        fail "release $release is pending: another run is active or was interrupted" 'if no other run is active, run this again with --recover'
      action=recover why="$state"
      ;;
    *) decide_existing ;;
  esac
}

# Without a release of ours: whether others do this work already.
decide_new() {
  served=$(serving) || exit 1
  if [ -n "$served" ]; then
    why=$(printf '%s\n' "$served" | awk -F '\t' '$2 != "" { print $1; exit }')
    [ -n "$why" ] || fail "$(printf '%s\n' "$served" | cut -f 1 | head -1) exists but is not ready" 'repair it or remove it, then run this again'
    action=leave why="served by $why"
    return
  fi
  for bound in $(list bound_to); do
    if grep -q "^why='served by" "$work/${bound%% *}/decision" 2>/dev/null && grep -qF "${bound#* }" "$here/$id/values.yaml"; then
      action=leave why="its values name ${bound#* } of ${bound%% *}, which is left alone: build the bundle with values for what runs"
      return
    fi
  done
  for part in $(list parts); do
    served=$(others "${part#* }") || exit 1
    [ -z "$served" ] || fail "$(printf '%s\n' "$served" | cut -f 1 | head -1) does what ${part%% *} of $id does" \
      "build the bundle with --set $id:${part%% *}=false"
  done
  owners=$(definitions) || exit 1
  for owned in $owners; do
    crd=${owned%%"$tab"*} owner=${owned#*"$tab"}
    case "$owner" in '' | "$release/$namespace") continue ;; esac
    found=$(ask "list the releases of namespace ${owner#*/}" helm list --namespace "${owner#*/}" --filter "^${owner%/*}\$" \
      --deployed --failed --pending --uninstalling --short) || exit 1
    if [ -n "$found" ]; then
      action=leave why="$crd belongs to release $owner"
      return
    fi
    "$adopt" || fail "$crd was left by release $owner, which does not exist" 'to use it for this release, run this again with --adopt'
    take_ownership=true
  done
}

# A release of our name: how it differs, and whether it may be changed.
decide_existing() {
  changes=$(value_differences) || exit 1
  [ "$live_version" = "$version" ] || changes="  chart: $live_chart -> $chart_name-$version${changes:+$IFS$changes}"
  if [ -n "$changes" ]; then
    say "release $release in namespace $namespace differs from the bundle (release -> bundle):"
    printf '%s\n' "$changes"
  fi
  if ! "$ours" && "$use_existing"; then
    action=leave why="release $release of another owner is used as it is"
    return
  fi
  [ -n "$live_version" ] || fail "release $release in namespace $namespace is of another chart, $live_chart" \
    'choose another namespace with --namespace, or --use-existing to leave it and go on'
  if older "$version" "$live_version"; then
    fail "release $release has version $live_version, and this bundle the older $version" \
      "build a bundle with version $live_version or newer, or use --use-existing if the release is not of eidos"
  fi
  if ! "$any_upgrade" && ! upgradable "$live_version"; then
    fail "release $release has version $live_version, which cannot be upgraded to $version" \
      "upgrade it to a release of $(list upgrades | head -1) first, or use --any-upgrade"
  fi
  if ! "$ours" && ! "$adopt"; then
    if [ -z "$changes" ] && [ "$state" = deployed ]; then
      action=leave why="release $release of another owner has the same chart and values"
      return
    fi
    fail "release $release in namespace $namespace was not installed by eidos" \
      'use --adopt to change it to this bundle, or --use-existing to leave it and go on'
  fi
  if [ "$state" = deployed ]; then
    hand_made=$(release_drift) || exit 1
    if [ -n "$hand_made" ]; then
      say "objects of release $release were changed by hand (- live, + release):"
      printf '%s\n' "$hand_made"
      "$force_conflicts" || "$adopt" || fail "changes that were made by hand would be lost" \
        'run this again with --force-conflicts to overwrite them, or undo them'
    fi
  fi
  if ! "$ours"; then
    action=adopt
  elif [ -n "$changes" ] || [ "$state" != deployed ]; then
    action=upgrade why=$([ "$state" = deployed ] || echo "it was $state")
  elif [ -n "$hand_made" ]; then
    action=repair
  else
    action=none
  fi
}

# upgradable VERSION: whether its project upgrades that version to the one of the bundle.
upgradable() {
  [ -n "$(list upgrades)" ] || return 0
  for branch in $(list upgrades); do
    case "${1#v}." in "$branch".*) return 0 ;; esac
  done
  return 1
}

# install_component ID: as it was decided.
install_component() {
  load_component "$1"
  locate_chart
  # shellcheck source=/dev/null
  . "$work/$id/decision"
  if [ "$action" = leave ]; then
    say "left alone: $why"
    if [ -z "$standalone" ]; then
      outcome 'left alone' "$why"
      return
    fi
  fi
  result='' changed=false
  case "$action" in
    install) result=installed ;;
    upgrade) result=upgraded ;;
    adopt) result='taken over' ;;
    repair) result=repaired ;;
    finish | recover) result=recovered ;;
    none) result=unchanged ;;
    leave) result='left alone' ;;
  esac
  if [ -n "$chart" ]; then change_release; fi
  apply_manifests || exit 1
  "$dry_run" || check_placement
  if [ "$result" = unchanged ] && "$changed"; then result=upgraded; fi
  if [ -z "$chart" ] && ! "$changed"; then
    if [ -n "$left" ]; then result='left alone' why="$left exists"; else result=unchanged; fi
  fi
  case "$result" in unchanged | 'left alone') ;; *) ! "$dry_run" || result="would be $result" ;; esac
  outcome "$result" "$why"
  say "$result"
}

change_release() {
  case "$action" in
    none | leave) return ;;
    finish) change helm uninstall "$release" --namespace "$namespace" --ignore-not-found --wait --timeout "$timeout" || failed ;;
    recover)
      history=$(ask "read the history of release $release" helm history "$release" --namespace "$namespace" --max 256 --output yaml) || exit 1
      # Fields are sorted, so a revision comes before its status. The last one that worked counts, not the one before this one.
      last_good=$(printf '%s\n' "$history" | sed 's/^[- ]*//' |
        awk '$1 == "revision:" { n = $2 } $1 == "status:" && ($2 == "deployed" || $2 == "superseded") { good = n } END { print good }')
      if [ -n "$last_good" ]; then
        change helm rollback "$release" "$last_good" --namespace "$namespace" --wait --timeout "$timeout" || failed
      else
        change helm uninstall "$release" --namespace "$namespace" --wait --timeout "$timeout" || failed
      fi
      ;;
  esac
  if [ -n "$hand_made" ]; then
    overwrite --namespace "$namespace" --filename "$work/$id/expected.json"
    overwrite --filename "$work/$id/elsewhere.json"
  fi
  [ "$action" != repair ] || return 0
  set -- helm upgrade --install "$release" "$chart" ${repository:+--repo} ${repository:+"$repository"} --version "$version" \
    --namespace "$namespace" --create-namespace --values "$here/$id/values.yaml" --labels "$mark" --wait --timeout "$timeout"
  if "$take_ownership"; then set -- "$@" --take-ownership; fi
  # What its own programs change is theirs in the eyes of helm 4; changes of others were looked for above.
  if [ "$state" = deployed ] && [ -n "$(list changed_by_itself)" ]; then
    case "$(helm version --short 2>/dev/null)" in v3.*) ;; *) set -- "$@" --force-conflicts ;; esac
  fi
  say "chart $chart $version as release $release in namespace $namespace"
  if "$show_diff"; then manifest_differences "$@" ${plain_http:+--plain-http} ${ca_file:+--ca-file} ${ca_file:+"$ca_file"}; fi
  change "$@" ${plain_http:+--plain-http} ${ca_file:+--ca-file} ${ca_file:+"$ca_file"} || failed
  if ! "$dry_run"; then
    differs=$(release_drift) || exit 1
    if [ -n "$differs" ]; then
      say 'warning: objects differ from the chart since (- live, + chart):'
      printf '%s\n' "$differs"
    fi
  fi
}

# manifest_differences helm upgrade --install ARGUMENT…: how the objects of the release would differ after this command.
# Of a release that is not installed all objects are new; the cluster may lack what defines some of them, and is not asked.
manifest_differences() {
  : >"$work/live.manifest"
  if [ -n "$state" ]; then
    ask "compare release $release with its chart" "$@" --dry-run=server --hide-secret >"$work/answer" || exit 1
    sed -n '/^MANIFEST:$/,/^NOTES:$/p' "$work/answer" | sed -e '/^MANIFEST:$/d' -e '/^NOTES:$/d' >"$work/planned"
    ask "read the manifest of release $release" helm get manifest "$release" --namespace "$namespace" >"$work/live.manifest" || exit 1
  else
    shift 3
    ask "render the chart of release $release" helm template "$@" >"$work/planned" || exit 1
  fi
  masked <"$work/live.manifest" >"$work/live.masked"
  masked <"$work/planned" >"$work/planned.masked"
  diff -u -B "$work/live.masked" "$work/planned.masked" | sed -e "1s|.*|--- live/$release|" -e "2s|.*|+++ bundle/$release|"
}

# print_steps ID: what a first installation runs, without looking at any cluster.
print_steps() {
  load_component "$1"
  locate_chart
  action=install state='' take_ownership=false hand_made=''
  if [ -n "$chart" ]; then
    change_release
  elif [ "$namespace" != default ] && [ "$namespace" != kube-system ]; then
    change kubectl create namespace "$namespace"
  fi
  for file in $(list manifests); do
    case "$file" in https://*) path=${file%%#*} ;; *) path=$here/$id/$file ;; esac
    for crd in $(list awaits); do
      change kubectl wait --for=condition=Established "customresourcedefinition/$crd" --timeout "$timeout"
    done
    change kubectl apply --server-side --field-manager=eidos --namespace "$namespace" --filename "$path"
  done
}

# overwrite OPTION… FILE: makes objects what the file says, whoever changed them.
overwrite() {
  for file in "$@"; do :; done
  [ ! -s "$file" ] || change kubectl apply --server-side --force-conflicts --field-manager=helm "$@" || failed
}

# failed: what keeps the component from becoming ready.
failed() {
  pods=$(unready_pods)
  if [ -n "$pods" ]; then
    printf '%s: Pods that are not ready in namespace %s:\n%s\n' "$id" "$namespace" "$pods" >&2
  fi
  fail "$action of release $release failed" 'fix what is named above, then run this again'
}

# check_placement: fails where a component has no Pod on any node, for which helm does not wait. Labels that other programs give to
# nodes come a while later.
check_placement() {
  patience=$(seconds "$timeout")
  [ "${patience:-180}" -lt 180 ] || patience=180
  patience=$(($(date +%s) + patience))
  while :; do
    idle=$(idle_workloads) || exit 1
    if [ -z "$idle" ] || "$allow_idle" || [ "$(date +%s)" -ge "$patience" ]; then break; fi
    sleep 2
  done
  pending=$(unschedulable_pods) || exit 1
  if [ -n "$pending" ]; then
    printf '%s\n' "$pending" | sed -n "s/^/$id: warning: /; 1,10p" >&2
  fi
  for workload in $idle; do
    explained=$(explain_idle "$workload") || exit 1
    printf '%s: %s %s/%s has no Pod on any node\n%s\n' "$id" "${workload%%/*}" "$namespace" "${workload#*/}" "$explained" >&2
  done
  if [ -z "$idle" ]; then return; fi
  if "$allow_idle"; then
    why="no node for $(printf '%s' "$idle" | tr '\n' ' ')"
    return
  fi
  : >"$work/$id/idle"
  fail "$result, but it runs on no node" \
    'label the nodes, or build the bundle with --accelerated-toleration for their taints; if such nodes join later, use --allow-idle'
}

# apply_manifests: what is not in the cluster, or not as in the bundle. $left names objects of others.
apply_manifests() {
  left=''
  [ -n "$(list manifests)" ] || return 0
  if [ -z "$chart" ] && [ "$namespace" != default ] && [ "$namespace" != kube-system ]; then
    found=$(ask "look for namespace $namespace" kubectl get namespace "$namespace" --ignore-not-found --output name) || exit 1
    [ -n "$found" ] || change kubectl create namespace "$namespace" || exit 1
  fi
  for file in $(list manifests); do
    path=$(manifest_file "$file") || exit 1
    apply_manifest "$path" || exit 1
  done
  if [ -n "$default_class" ]; then set_default_class; fi
}

apply_manifest() {
  foreign=$(foreign_objects "$1") || exit 1
  if [ -n "$foreign" ] && ! "$adopt"; then
    left=$foreign
    say "left alone: $(printf '%s' "$foreign" | tr '\n' ' '): not installed by eidos"
    return
  fi
  differs=$(drift "$1" eidos "$namespace") || exit 1
  [ -n "$differs" ] || return 0
  set -- kubectl apply --server-side --field-manager=eidos --namespace "$namespace" --filename "$1"
  if "$force_conflicts" || [ -n "$foreign" ]; then
    say "overwrites what is live (- live, + bundle):"
    printf '%s\n' "$differs"
    set -- "$@" --force-conflicts
  fi
  changed=true
  for crd in $(list awaits); do
    change kubectl wait --for=condition=Established "customresourcedefinition/$crd" --timeout "$timeout" || exit 1
  done
  if "$dry_run"; then
    change "$@"
  elif ! cluster "$@" 2>"$work/errors"; then
    case "$(cat "$work/errors")" in
      *conflict*)
        printf '%s\n' "$differs"
        fail "objects were changed by hand: $(cat "$work/errors")" 'run this again with --force-conflicts to overwrite them'
        ;;
      *) fail "cannot apply: $(cat "$work/errors")" ;;
    esac
  fi
}

# Without a default storage class, claims that name none wait for ever; with two, they are given the newer one.
set_default_class() {
  # shellcheck disable=SC2016
  defaults=$(ask 'list storage classes' kubectl get storageclasses --output 'go-template=
    {{- range .items}}{{$name := .metadata.name}}
      {{- with .metadata.annotations}}
        {{- with index . "storageclass.kubernetes.io/is-default-class"}}{{if eq . "true"}}{{$name}}{{"\n"}}{{end}}{{end}}
      {{- end}}
    {{- end}}') || exit 1
  if [ -z "$defaults" ]; then
    change kubectl annotate storageclass "$default_class" storageclass.kubernetes.io/is-default-class=true --overwrite || exit 1
    changed=true
  elif [ "$defaults" != "$default_class" ]; then
    say "the default storage class stays $(printf '%s' "$defaults" | tr '\n' ' ')"
  fi
}

# copy_images: to the registry of --registry, if the bundle carries images; with --dry-run the command is printed.
copy_images() {
  if [ ! -f "$here/images/copy.sh" ]; then return 0; fi
  if [ -z "$registry" ]; then
    echo 'images: the bundle carries them; --registry NAME copies them to a registry first, images/load.sh loads them on a node'
    return
  fi
  set -- "$here/images/copy.sh" "$registry"
  if [ -n "$plain_http" ]; then set -- "$@" --dest-tls-verify=false; fi
  if [ -n "$ca_file" ]; then
    mkdir "$work/certificates" && cp "$ca_file" "$work/certificates/ca.crt" || return 1
    set -- "$@" --dest-cert-dir "$work/certificates"
  fi
  if "$dry_run"; then
    printf 'would run:'
    for argument in "$@"; do printf ' ' && quote "$argument"; done
    printf '\n'
  else
    "$@"
  fi
}

read_options '--any-upgrade --allow-idle --recover --adopt --use-existing --force-conflicts --plain-http --diff --charts --registry' "$@"
chosen=$(order | if [ -n "$components" ]; then printf '%s' "$components" >"$work/chosen" && grep -Fx -f "$work/chosen"; else cat; fi)

if [ -n "$registry" ] && [ ! -f "$here/images/copy.sh" ]; then
  fail 'this bundle carries no images for --registry' "build it with 'eidos bundle --images PATH'"
fi
if "$offline"; then
  copy_images || exit 1
  for one in $chosen; do (print_steps "$one") || exit 1; done
  echo 'nothing was changed, and no cluster was looked at; --dry-run=server compares with the cluster'
  exit 0
fi
need_cluster

stopped=''
for one in $chosen; do
  if (look_at "$one"); then continue; fi
  stopped="$stopped $one"
  if "$dry_run"; then (id=$one && outcome 'would stop at' 'see its error above'); fi
done
[ -z "$stopped" ] || "$dry_run" ||
  fail "nothing was changed, because of:$stopped" 'fix the errors above and run this again; --dry-run=server shows everything'
copy_images || fail 'the images were not copied, and nothing was changed in the cluster' 'fix the errors above and run this again'
for one in $chosen; do
  case "$stopped " in *" $one "*) continue ;; esac
  if (install_component "$one"); then continue; fi
  stopped="$stopped $one"
  if [ -f "$work/$one/idle" ]; then
    (id=$one && outcome 'installed, but without a node' 'see its error above')
  else
    (id=$one && outcome 'not installed' '')
  fi
  break
done
summary
if "$dry_run"; then echo 'nothing was changed'; fi
[ -z "$stopped" ] || fail "not installed:$stopped" 'installed components are kept; fix the errors above and run this again'
