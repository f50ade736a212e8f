# shellcheck shell=sh disable=SC2034
# What install.sh and uninstall.sh share: kubectl and helm with the chosen context, and reading what is in the cluster.
#
# A list is text with one item a line: words are split only at line breaks, and patterns are not expanded.
set -uf
IFS='
'

tab=$(printf '\t')

# What kubectl prints must not depend on a person's own diff program and preferences.
unset KUBECTL_EXTERNAL_DIFF
export KUBERC=off

# On helm releases and on objects from manifests/: only what has this label is ours, and only that is changed or removed.
mark=app.kubernetes.io/managed-by=eidos

namespace_option='' context='' timeout=15m plain_http='' ca_file='' charts='' registry=''
dry_run=false offline=false show_diff=false any_upgrade=false recover=false allow_idle=false adopt=false use_existing=false force_conflicts=false delete_crds=false yes=false
components=''
# Of the component at hand.
id='' release='' chart='' repository='' version='' namespace='' fixed='' standalone='' default_class='' crds_unknown=''

here=$(CDPATH='' cd "$(dirname "$0")" && pwd)
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

say() { printf '%s: %s\n' "$id" "$1"; }

# fail MESSAGE [HINT]
fail() {
  printf '%serror: %s\n' "${id:+$id: }" "$1" >&2
  [ "$#" -lt 2 ] || printf '%shint: %s\n' "${id:+$id: }" "$2" >&2
  exit 1
}

wrong_usage() {
  printf 'error: %s\n' "$1" >&2
  usage >&2
  exit 2
}

# read_options FLAGS ARGUMENT…: the variables above. FLAGS are those of this script, besides those that both have.
read_options() {
  flags=" --dry-run --dry-run=client --dry-run=server $1 "
  shift
  while [ "$#" -gt 0 ]; do
    case "$1" in
      --namespace | --context | --timeout | --ca-file | --charts | --registry)
        case "$1" in
          --charts | --registry) case "$flags" in *" $1 "*) ;; *) wrong_usage "unknown argument $1" ;; esac ;;
        esac
        if [ "$#" -lt 2 ] || [ -z "$2" ]; then wrong_usage "$1 needs a value"; fi
        case "$1" in
          --namespace) namespace_option=$2 ;;
          --context) context=$2 ;;
          --timeout)
            timeout=$2
            case "$2" in *[!0-9.hms]* | *[0-9.] | [hms]*) wrong_usage "invalid value $2 of --timeout, expected a duration such as 15m" ;; esac
            ;;
          --ca-file) ca_file=$2 ;;
          --charts) charts=$2 ;;
          --registry) registry=$2 ;;
        esac
        shift
        ;;
      -h | --help) usage; exit 0 ;;
      --*)
        case "$flags" in *" $1 "*) ;; *) wrong_usage "unknown argument $1" ;; esac
        case "$1" in
          --dry-run | --dry-run=client) dry_run=true offline=true ;;
          --dry-run=server) dry_run=true offline=false ;;
          --diff) dry_run=true offline=false show_diff=true ;;
          --any-upgrade) any_upgrade=true ;;
          --recover) recover=true ;;
          --allow-idle) allow_idle=true ;;
          --adopt) adopt=true ;;
          --use-existing) use_existing=true ;;
          --force-conflicts) force_conflicts=true ;;
          --plain-http) plain_http=true ;;
          --delete-crds) delete_crds=true ;;
          --yes) yes=true ;;
        esac
        ;;
      *)
        # Shells complete the name to the path of its folder.
        name=${1%/} name=${name##*/}
        [ -f "$here/$name/component.sh" ] || wrong_usage "unknown component $1"
        components="$components$name$IFS"
        ;;
    esac
    shift
  done
}

need_cluster() {
  for tool in kubectl helm; do
    command -v "$tool" >/dev/null || fail "$tool not found in PATH" "install $tool, or add its folder to PATH"
  done
  cluster kubectl get --raw /version --request-timeout 15s >/dev/null 2>"$work/errors" ||
    fail "cannot reach the cluster: $(cat "$work/errors")" "run 'kubectl config current-context' to see which cluster is used"
}

# cluster kubectl|helm ARGUMENT…: a request to the cluster ends after a minute, one that waits for objects with the wait. Helm has no option
# for its single requests.
cluster() {
  if [ "$1" = helm ]; then
    shift
    helm ${context:+--kube-context} ${context:+"$context"} "$@"
  else
    shift
    kubectl ${context:+--context} ${context:+"$context"} --request-timeout "$(request_timeout "$@")" "$@"
  fi
}

request_timeout() {
  for argument in "$@"; do
    case "$argument" in wait | --wait) echo "$timeout" && return ;; esac
  done
  echo 60s
}

# The same for what changes the cluster: with --dry-run the command is printed.
change() {
  if ! "$dry_run"; then
    cluster "$@"
    return
  fi
  printf 'would run: %s' "$1"
  if [ -n "$context" ]; then
    if [ "$1" = helm ]; then printf ' --kube-context '; else printf ' --context '; fi
    quote "$context"
  fi
  [ "$1" = helm ] || printf ' --request-timeout %s' "$(request_timeout "$@")"
  shift
  for argument in "$@"; do printf ' ' && quote "$argument"; done
  printf '\n'
}

quote() {
  case "$1" in
    '' | *[!A-Za-z0-9_./:=@%+,-]*) printf "'%s'" "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")" ;;
    *) printf '%s' "$1" ;;
  esac
}

# ask PURPOSE kubectl|helm ARGUMENT…: prints the response; a failure is an error, because what cannot be read may exist.
ask() {
  purpose=$1
  shift
  cluster "$@" 2>"$work/errors" || fail "cannot $purpose: $(cat "$work/errors")"
}

# outcome WORD TEXT: what became of the component, for the summary.
outcome() { printf '%s\t%s\t%s\n' "$1" "$id" "$2" >>"$work/outcomes"; }

# summary: a line for each outcome, with the components in their order.
summary() {
  [ -f "$work/outcomes" ] || return 0
  awk -F '\t' '
    !($1 in ids) { order[++count] = $1 }
    { ids[$1] = ids[$1] " " $2; if ($3 != "") why[$1] = why[$1] "\n  " $2 ": " $3 }
    END { for (i = 1; i <= count; i++) print order[i] ":" ids[order[i]] why[order[i]] }' "$work/outcomes"
}

# load_component ID: what its component.sh says.
load_component() {
  id=$1
  # shellcheck source=/dev/null
  . "$here/$id/component.sh"
  own_namespace=$namespace
  if [ -n "$namespace_option" ] && [ "$namespace_option" != "$namespace" ]; then
    if [ -n "$fixed" ]; then
      say "using namespace $namespace, which is fixed in its manifests"
    else
      namespace=$namespace_option
    fi
  fi
  chart_name=${chart##*/}
}

# locate_chart: with --charts, or where the bundle has charts, $chart is the file of this version, or the folder of an unpacked chart.
locate_chart() {
  if [ -z "$charts" ] && [ -d "$here/charts" ]; then charts=$here/charts; fi
  if [ -z "$chart" ] || [ -z "$charts" ]; then return 0; fi
  for file in "$charts/$chart_name-$version.tgz" "$charts/$chart_name-${version#v}.tgz" "$charts/$chart_name"; do
    [ ! -f "$file" ] || break
  done
  if [ -d "$file" ]; then
    found=$(sed -n "s/^version: *[\"']*v*\([^\"' ]*\).*/\1/p" "$file/Chart.yaml" 2>/dev/null)
    [ "$found" = "${version#v}" ] || fail "$file is version ${found:-unknown} of chart $chart_name, and not $version"
  fi
  [ -e "$file" ] || fail "no chart $chart_name-$version.tgz in $charts" \
    "where the repository can be reached, run 'helm pull $chart${repository:+ --repo $repository} --version $version'"
  chart=$file repository=''
}

# masked: a manifest from standard input without what may be a secret: Secrets, and values of variables.
masked() {
  awk '
    function flush() {
      if (is_secret) print "kind: Secret\n  " name " (withheld)"
      else printf "%s", text
      text = name = ""; is_secret = in_metadata = 0
    }
    /^---/ { flush(); print "---"; next }
    /^kind: Secret$/ { is_secret = 1 }
    /^[a-z]/ { in_metadata = /^metadata:/ }
    in_metadata && /^  name: / { name = $2 }
    /^ *(- )?value: / { sub(/value: .*/, "value: (withheld)") }
    { text = text $0 "\n" }
    END { flush() }'
}

# read_release: $state is its status ("": no release), $ours whether it has our mark, $live_chart its chart with the version, and
# $live_version that version if the chart is ours.
read_release() {
  listed=$(ask "list the releases of namespace $namespace" helm list --namespace "$namespace" --filter "^$release\$" \
    --deployed --failed --pending --uninstalling --output yaml) || exit 1
  state=$(printf '%s\n' "$listed" | sed -n 's/^[- ]*status: *//p')
  live_chart=$(printf '%s\n' "$listed" | sed -n 's/^[- ]*chart: *//p')
  live_version='' ours=false
  case "$live_chart" in
    "$chart_name"-[0-9]* | "$chart_name"-v[0-9]*) live_version=${live_chart#"$chart_name"-} ;;
  esac
  [ -n "$state" ] || return 0
  marked=$(ask "list the releases of namespace $namespace" helm list --namespace "$namespace" --filter "^$release\$" \
    --deployed --failed --pending --uninstalling --selector "$mark" --short) || exit 1
  [ -z "$marked" ] || ours=true
}

# older A B: whether version A comes before version B.
older() {
  awk -v a="$1" -v b="$2" 'BEGIN {
    sub(/^v/, "", a); sub(/^v/, "", b)
    split(a, x, /[.+-]/); split(b, y, /[.+-]/)
    for (i = 1; i <= 3; i++) if (x[i] + 0 != y[i] + 0) exit !(x[i] + 0 < y[i] + 0)
    exit 1
  }'
}

# flat FILE: the values of a file as lines "path<TAB>value". A chart made for it lets helm read the YAML.
flat() {
  if [ ! -d "$work/flat" ]; then
    mkdir -p "$work/flat/templates"
    printf 'apiVersion: v2\nname: flat\nversion: 1.0.0\n' >"$work/flat/Chart.yaml"
    cat >"$work/flat/templates/values.yaml" <<'END'
{{- define "lines" -}}
{{- $above := .above -}}
{{- range $key, $value := .tree -}}
{{- if and (kindIs "map" $value) $value -}}
{{- include "lines" (dict "above" (printf "%s%s." $above $key) "tree" $value) -}}
{{- else }}
# value {{ $above }}{{ $key }}{{ "\t" }}{{ toJson $value }}
{{- end -}}
{{- end -}}
{{- end -}}
kind: Values
{{- include "lines" (dict "above" "" "tree" (fromYaml .Values.text)) }}
END
  fi
  cp "$1" "$work/text"
  helm template flat "$work/flat" --set-file "text=$work/text" >"$work/flattened" 2>"$work/errors" ||
    fail "cannot read $1: $(cat "$work/errors")"
  sed -n 's/^# value //p' "$work/flattened"
}

# value_differences: how the values of the release differ from those of the bundle. Of what others chose, only what cannot be a secret is
# shown: a number, a size, a version, a short plain word or path, of a name without a word of credentials.
value_differences() {
  ask "read the values of release $release" helm get values "$release" --namespace "$namespace" --output yaml >"$work/live.yaml" || exit 1
  flat "$work/live.yaml" >"$work/live" || exit 1
  flat "$here/$id/values.yaml" >"$work/wanted" || exit 1
  awk -F '\t' '
    function shown(path, value, is_ours, text) {
      text = value
      gsub(/^"|"$/, "", text)
      if (tolower(path) ~ /pass|secret|token|credential|key|license|auth|pin$/) return "(withheld)"
      if (is_ours || text ~ /^(true|false|null|[{][}]|\[\]|)$/ || text ~ /^v?[0-9][0-9.]*[A-Za-z%]?[A-Za-z]?$/ && length(text) <= 12) return value
      if (text ~ /^[a-z][a-z.\/-]*$/ && length(text) <= 40 || text ~ /^v?[0-9]+\.[0-9]+[0-9.]*(-[a-z0-9.]+)?$/ && length(text) <= 24) return value
      return "(withheld)"
    }
    FILENAME == ARGV[1] { live[$1] = $2; next }
    { wanted[$1] = $2 }
    END {
      for (path in wanted)
        if (!(path in live)) print "  " path ": the default of the chart -> " shown(path, wanted[path], 1)
        else if (live[path] != wanted[path]) print "  " path ": " shown(path, live[path]) " -> " shown(path, wanted[path], 1)
      for (path in live)
        if (!(path in wanted)) print "  " path ": " shown(path, live[path]) " -> the default of the chart"
    }' "$work/live" "$work/wanted" | sort
}

# Templates for kubectl. Of an object: the release that owns it, as name/namespace, and who manages it.
owner_template='{{with .metadata.annotations}}
  {{- with index . "meta.helm.sh/release-name"}}{{.}}{{end}}
  {{- with index . "meta.helm.sh/release-namespace"}}/{{.}}{{end}}
{{- end}}'
manager_template='{{with .metadata.labels}}{{with index . "app.kubernetes.io/managed-by"}}{{.}}{{end}}{{end}}'

# Of each object of a list: kind and name, its release, who manages it, and how many of it are ready.
tab_template='{{"\t"}}'
objects_template="{{range .items}}{{.kind}} {{with .metadata.namespace}}{{.}}/{{end}}{{.metadata.name}}
  {{- \"\" }}$tab_template$owner_template$tab_template$manager_template$tab_template{{with .status}}
    {{- or .readyReplicas .numberReady .availableReplicas}}
    {{- range .conditions}}{{if and (eq .type \"Available\") (eq .status \"True\")}}1{{end}}{{end}}
  {{- end}}{{\"\\n\"}}
{{- end}}"

# objects RESOURCE [OPTION]: lines "kind name<TAB>release<TAB>managed-by<TAB>ready" of all namespaces; no line for an unknown kind.
objects() {
  if cluster kubectl get "$1" --all-namespaces ${2:+"$2"} --output "go-template=$objects_template" 2>"$work/errors"; then return 0; fi
  case "$(cat "$work/errors")" in
    *"the server doesn't have a resource type"*) ;;
    *) fail "cannot list $1: $(cat "$work/errors")" ;;
  esac
}

# others PROBE…: lines "what<TAB>ready" for everything that answers a probe and does not belong to our release. A probe is a resource,
# and a label or field selector, "port=NUMBER" for pods with that port of the node, or "driver=NAME" for a CSI driver on the nodes.
others() {
  for probe in "$@"; do
    resource=${probe%% *} option=${probe#* }
    case "$option" in
      "$probe") objects "$resource" || exit 1 ;;
      --*) objects "$resource" "$option" || exit 1 ;;
      driver=*)
        ask 'list CSI drivers' kubectl get csinodes --output "go-template={{range .items}}{{range .spec.drivers}}
          {{- if eq .name \"${option#*=}\"}}CSI driver {{.name}}{{\"\\t\\t\\t1\\n\"}}{{end}}
        {{- end}}{{end}}" | sort -u
        ;;
      port=*)
        ask 'list daemon sets' kubectl get daemonsets --all-namespaces --output "go-template={{range \$one := .items}}
          {{- range .spec.template.spec.containers}}{{range .ports}}{{if .hostPort}}
            {{- if eq (printf \"%v\" .hostPort) \"${option#*=}\"}}
              {{- with \$one}}DaemonSet {{.metadata.namespace}}/{{.metadata.name}}{{end}} on port {{.hostPort}}{{\"\\t\"}}
              {{- with \$one}}$owner_template{{end}}{{\"\\t\\t1\\n\"}}
            {{- end}}
          {{- end}}{{end}}{{end}}
        {{- end}}"
        ;;
    esac
  done >"$work/found" || exit 1
  awk -F '\t' -v release="$release/$namespace" '
    $2 != release && $3 != "eidos" && !seen[$1]++ {
      print $1 ($2 == "" ? "" : " of release " $2) "\t" ($4 == "" || $4 == "0" || $4 == "<no value>" ? "" : "ready")
    }' "$work/found"
}

# serving: the same for the whole component: others that answer its probes, and releases of its chart under other names.
serving() {
  # shellcheck disable=SC2046
  others $(list served_by) || exit 1
  [ -n "$chart" ] || return 0
  if [ ! -f "$work/releases" ]; then
    ask 'list the releases of all namespaces' helm list --all-namespaces --max 0 --deployed --failed --pending --uninstalling \
      --output yaml >"$work/all" || exit 1
    # Fields are sorted, and the status comes after the others.
    sed 's/^[- ]*//' "$work/all" | awk '
      $1 == "chart:" { chart = $2 } $1 == "name:" { name = $2 } $1 == "namespace:" { namespace = $2 }
      $1 == "status:" { print name "/" namespace "\t" chart "\t" $2 }' >"$work/releases"
  fi
  awk -F '\t' -v release="$release/$namespace" -v chart="$chart_name-" '
    $1 != release && index($2, chart) == 1 && substr($2, length(chart) + 1) ~ /^v?[0-9]/ {
      print "release " $1 " of chart " $2 "\t" ($3 == "deployed" ? "ready" : "")
    }' "$work/releases"
}

# definitions: lines "name<TAB>release" for those of the chart that exist; the release is what their annotations name, if anything.
definitions() {
  set --
  for entry in $(list crds); do set -- "$@" "${entry%%=*}"; done
  [ "$#" -gt 0 ] || return 0
  one="{{.metadata.name}}{{\"\\t\"}}$owner_template{{\"\\n\"}}"
  ask 'look for custom resource definitions' kubectl get customresourcedefinitions "$@" --ignore-not-found --output \
    "go-template={{if .items}}{{range .items}}$one{{end}}{{else if .metadata.name}}$one{{end}}"
}

# read_manifest: writes the objects of the release, with the labels and annotations that helm adds, to expected.json and, those in other
# namespaces, to elsewhere.json of $work/$id: kubectl refuses --namespace for them.
read_manifest() {
  ask "read the manifest of release $release" helm get manifest "$release" --namespace "$namespace" >"$work/manifest.yaml" || exit 1
  : >"$work/$id/expected.json"
  : >"$work/$id/elsewhere.json"
  if ! grep -q '^kind:' "$work/manifest.yaml"; then return 0; fi
  if ! kubectl annotate --local --overwrite --filename "$work/manifest.yaml" --output json "meta.helm.sh/release-name=$release" \
    "meta.helm.sh/release-namespace=$namespace" >"$work/annotated.json" 2>"$work/errors" ||
    ! kubectl label --local --overwrite --filename "$work/annotated.json" --output json app.kubernetes.io/managed-by=Helm \
      >"$work/labelled.json" 2>"$work/errors"; then
    fail "cannot read the manifest of release $release: $(cat "$work/errors")"
  fi
  awk -v namespace="$namespace" -v folder="$work/$id" '
    /^    "metadata": / { inside = 1 }
    /^    }/ { inside = 0 }
    inside && /^        "namespace": "/ { home = $2; gsub(/[",]/, "", home) }
    { text = text $0 "\n" }
    /^}/ { printf "%s", text >> (folder (home == "" || home == namespace ? "/expected.json" : "/elsewhere.json")); text = home = "" }
  ' "$work/labelled.json"
}

# release_drift: what of the objects of the release is missing or different in the cluster.
release_drift() {
  read_manifest
  drift "$work/$id/expected.json" helm "$namespace"
  drift "$work/$id/elsewhere.json" helm ''
}

# drift FILE MANAGER NAMESPACE: how the live objects ("-") differ from those of a file ("+"). Lines that the component's own programs change
# in the cluster do not count.
drift() {
  [ -s "$1" ] || return 0
  cluster kubectl diff --server-side --force-conflicts --field-manager="$2" ${3:+--namespace} ${3:+"$3"} --filename "$1" \
    >"$work/diff" 2>"$work/errors"
  if [ "$?" -gt 1 ]; then
    case "$(cat "$work/errors")" in
      *'no matches for kind'* | *"namespaces \"$namespace\" not found"*) echo "  ${1##*/} is missing" && return ;;
      *) fail "cannot compare $id with the cluster: $(cat "$work/errors")" ;;
    esac
  fi
  list changed_by_itself >"$work/ignored"
  awk '
    function flush() {
      if (count) { print "  " object (missing ? " is missing" : ":"); if (!missing) for (i = 1; i <= count; i++) print "    " lines[i] }
      count = missing = 0
    }
    FILENAME == ARGV[1] { ignored[++patterns] = $0; next }
    /^--- / { flush(); object = $0; sub(/\t.*/, "", object); sub(/.*\//, "", object); next }
    /^\+\+\+ / { next }
    /^@@ -0,0 / { missing = 1 }
    /^[-+]/ {
      line = $0; sub(/^[-+] */, "", line)
      if (line ~ /^generation: /) next
      for (i = 1; i <= patterns; i++) if (index(line, ignored[i] ":") == 1) next
      if (line ~ /^(- )?value: /) sub(/value: .*/, "value: (withheld)")  # of a variable
      lines[++count] = $0
    }
    END { flush() }' "$work/ignored" "$work/diff"
}

# manifest_file NAME: the path of a manifest. One with a URL is fetched, unless manifests/ has a file of its name, is compared with its
# SHA-256, and gets our mark.
manifest_file() {
  case "$1" in
    https://*) ;;
    *) printf '%s\n' "$here/$id/$1" && return ;;
  esac
  url=${1%%#*} expected=${1##*#sha256=}
  marked="$work/$id-$expected.yaml" file="$here/$id/manifests/${url##*/}"
  if [ ! -f "$marked" ]; then
    if [ ! -f "$file" ]; then
      command -v curl >/dev/null || fail "curl not found in PATH" "install curl, or save $url as $file"
      file="$work/fetched"
      curl --fail --silent --show-error --location --proto =https --output "$file" "$url" 2>"$work/errors" ||
        fail "cannot fetch $url: $(cat "$work/errors")" "on a machine without access to it, save it as $here/$id/manifests/${url##*/}"
    fi
    found=$({ sha256sum "$file" 2>/dev/null || shasum -a 256 "$file"; } | cut -d ' ' -f 1)
    [ "$found" = "$expected" ] || fail "$url was modified: its SHA-256 is $found, expected $expected"
    kubectl label --local --overwrite --filename "$file" "$mark" --output yaml >"$marked" 2>"$work/errors" ||
      fail "cannot read $url: $(cat "$work/errors")"
  fi
  printf '%s\n' "$marked"
}

# foreign_objects FILE: the objects of a manifest that exist and do not have our mark, as kind/name.
foreign_objects() {
  one="{{.kind}}/{{.metadata.name}}{{\"\\t\"}}$manager_template{{\"\\n\"}}"
  cluster kubectl get --filename "$1" --namespace "$namespace" --ignore-not-found --output \
    "go-template={{if .items}}{{range .items}}$one{{end}}{{else if .metadata.name}}$one{{end}}" \
    >"$work/live-objects" 2>"$work/errors" || case "$(cat "$work/errors")" in
    *'no matches for kind'* | *'ensure CRDs are installed first'* | *"namespaces \"$namespace\" not found"*) return 0 ;;
    *) fail "cannot look for the objects of ${1##*/}: $(cat "$work/errors")" ;;
  esac
  awk -F '\t' '$1 != "" && $2 != "eidos" { print $1 }' "$work/live-objects"
}

# seconds DURATION: of helm's form, such as 1h30m; nothing for another.
seconds() {
  printf '%s\n' "$1" | awk '{
    text = $0
    while (match(text, /^[0-9.]+(h|m|s)/)) {
      unit = substr(text, RLENGTH, 1)
      total += substr(text, 1, RLENGTH - 1) * (unit == "h" ? 3600 : unit == "m" ? 60 : 1)
      text = substr(text, RLENGTH + 1)
    }
    if (text == "") printf "%d\n", total
  }'
}

# Of workloads: kind, name, how many Pods they should have on nodes (of a Deployment: have), generations, who manages them and their release;
# then what a node must have: S label value, E term key operator values; and T tolerations.
# shellcheck disable=SC2016
workloads_template='{{range .items}}{{$status := .status}}
  {{- printf "D\t%s\t%s\t%v\t" .kind .metadata.name (or $status.desiredNumberScheduled $status.availableReplicas 0)}}
  {{- printf "%v\t%v\t" (or .metadata.generation 0) (or $status.observedGeneration 0)}}'"$manager_template{{\"\\t\"}}$owner_template"'{{"\n"}}
  {{- with .spec.template.spec}}
    {{- range $key, $value := .nodeSelector}}{{printf "S\t%s\t%s\n" $key $value}}{{end}}
    {{- with .affinity}}{{with .nodeAffinity}}{{with .requiredDuringSchedulingIgnoredDuringExecution}}
      {{- range $term, $each := .nodeSelectorTerms}}{{range .matchExpressions}}
        {{- printf "E\t%d\t%s\t%s\t" $term .key .operator}}{{range .values}}{{.}},{{end}}{{"\n"}}
      {{- end}}{{end}}
    {{- end}}{{end}}{{end}}
    {{- range .tolerations}}{{printf "T\t%s\t%s\t%s\n" (or .key "") (or .value "") (or .effect "")}}{{end}}
  {{- end}}
{{- end}}'

# Of nodes: N name, then its L labels and T taints that keep Pods away.
# shellcheck disable=SC2016
nodes_template='{{range .items}}{{printf "N\t%s\n" .metadata.name}}
  {{- range $key, $value := .metadata.labels}}{{printf "L\t%s\t%s\n" $key $value}}{{end}}
  {{- range .spec.taints}}{{if ne .effect "PreferNoSchedule"}}{{printf "T\t%s\t%s\t%s\n" .key (or .value "") .effect}}{{end}}{{end}}
{{- end}}'

# idle_workloads: lines "kind/name" for those of the component that have no Pod on any node: its DaemonSets but those that may have none,
# Deployments of its manifests, and those that its operator creates, which are missing where it finds no node for them.
idle_workloads() {
  ask "list the workloads of namespace $namespace" kubectl get daemonsets,deployments --namespace "$namespace" \
    --output "go-template=$workloads_template" >"$work/workloads" || exit 1
  awk -F '\t' -v release="$release/$namespace" -v operands="$(list operands)" -v unused="$(list may_be_idle)" '
    BEGIN {
      count = split(operands, lines, "\n")
      for (i = 1; i <= count; i++) { name = lines[i]; sub(/ .*/, "", name); expected[name] = 1 }
      count = split(unused, lines, "\n")
      for (i = 1; i <= count; i++) optional[lines[i]] = 1
    }
    $1 != "D" { next }
    $3 in expected { is_there[$3] = 1 }
    $3 in optional || $2 == "Deployment" && $7 != "eidos" { next }
    $8 == release || $7 == "eidos" || $3 in expected { if ($4 + 0 == 0 || $6 + 0 < $5 + 0) print $2 "/" $3 }
    END { for (name in expected) if (!(name in is_there)) print "DaemonSet/" name }' "$work/workloads"
}

# explain_idle KIND/NAME: what nodes would need to have, and what those nodes have that come closest.
explain_idle() {
  ask 'list nodes' kubectl get nodes --output "go-template=$nodes_template" >"$work/nodes" || exit 1
  { list operands | sed -n "s|^${1#*/} \\(.*\\)=\\(.*\\)|O$tab\\1$tab\\2|p"; cat "$work/workloads"; } >"$work/wanted-nodes"
  awk -F '\t' -v name="${1#*/}" -v kind="${1%%/*}" '
    function fits(node, i,   found, has, value) {
      has = (node SUBSEP key[i]) in label
      value = has ? label[node, key[i]] : ""
      found = index("," values[i], "," value ",") > 0
      if (operator[i] == "In") return has && found
      if (operator[i] == "NotIn") return !has || !found
      if (operator[i] == "Exists") return has
      if (operator[i] == "DoesNotExist") return !has
      if (operator[i] == "Gt") return has && value + 0 > values[i] + 0
      return has && value + 0 < values[i] + 0
    }
    function tolerates(taint,   i, parts) {
      split(taint, parts, "\t")
      if (kind == "DaemonSet" && parts[1] ~ /^node\.kubernetes\.io\//) return 1
      for (i = 1; i <= tolerations; i++)
        if ((tolerated_key[i] == "" || tolerated_key[i] == parts[1]) && (tolerated_value[i] == "" || tolerated_value[i] == parts[2]) &&
          (tolerated_effect[i] == "" || tolerated_effect[i] == parts[3])) return 1
      return 0
    }
    function shown(operator, values) {
      sub(/,$/, "", values)
      if (operator == "In") return (values ~ /,/ ? " in " : "=") values
      if (operator == "NotIn") return " not in " values
      return operator == "Exists" ? "" : " " operator " " values
    }
    FILENAME == ARGV[1] {
      if ($1 == "O") { key[++count] = $2; operator[count] = "In"; values[count] = $3 ","; term[count] = "" }
      if ($1 == "D") inside = $2 == kind && $3 == name
      if (!inside) next
      if ($1 == "S") { key[++count] = $2; operator[count] = "In"; values[count] = $3 ","; term[count] = "" }
      if ($1 == "E") { key[++count] = $3; operator[count] = $4; values[count] = $5; term[count] = $2 + 1; if (term[count] > terms) terms = term[count] }
      if ($1 == "T") { tolerated_key[++tolerations] = $2; tolerated_value[tolerations] = $3; tolerated_effect[tolerations] = $4 }
      next
    }
    $1 == "N" { node = names[++nodes] = $2 }
    $1 == "L" { label[node, $2] = $3 }
    $1 == "T" { taints[node] = taints[node] $2 "\t" $3 "\t" $4 "\n" }
    END {
      for (n = 1; n <= nodes; n++) {
        node = names[n]
        for (t = terms ? 1 : 0; t <= terms; t++) {
          good = 1
          for (i = 1; i <= count; i++) if ((term[i] == "" || term[i] == t) && !fits(node, i)) good = 0
          if (good) { matching++; break }
        }
        if (!good) continue
        amount = split(taints[node], lines, "\n")
        for (i = 1; i < amount; i++) if (!tolerates(lines[i])) {
          split(lines[i], parts, "\t")
          taint = parts[1] (parts[2] == "" ? "" : "=" parts[2]) ":" parts[3]
          if (!untolerated[taint]++) order[++different] = taint
        }
      }
      for (i = 1; i <= count; i++) {
        fitting = others = listed = 0
        text = ""
        split("", seen)
        for (n = 1; n <= nodes; n++) {
          if (fits(names[n], i)) fitting++
          if ((names[n] SUBSEP key[i]) in label && !seen[label[names[n], key[i]]]++ && ++listed <= 8)
            text = text (text == "" ? "" : ", ") label[names[n], key[i]]
        }
        printf "  needs a node with %s%s: %d of %d; %s\n", key[i], shown(operator[i], values[i]), fitting, nodes,
          (text == "" ? "no node has this label" : "nodes have " text (listed > 8 ? " and more" : ""))
      }
      if (!nodes) print "  the cluster has no node"
      else if (matching) for (i = 1; i <= different; i++)
        printf "  does not tolerate %s, which %d of %d matching nodes have\n", order[i], untolerated[order[i]], matching
    }' "$work/wanted-nodes" "$work/nodes"
}

# unschedulable_pods: lines "Pod name: what the scheduler says" for those of the namespace that no node takes.
unschedulable_pods() {
  # shellcheck disable=SC2016
  ask "list the Pods of namespace $namespace" kubectl get pods --namespace "$namespace" --field-selector status.phase=Pending --output \
    'go-template={{range .items}}{{$name := .metadata.name}}{{range .status.conditions}}
      {{- if and (eq .type "PodScheduled") (eq .status "False")}}Pod {{$name}}: {{with .message}}{{.}}{{end}}{{"\n"}}{{end}}
    {{- end}}{{end}}'
}

# unready_pods: the Pods of the namespace that are not ready, with the reasons, images, ports and last events.
unready_pods() {
  # shellcheck disable=SC2016
  cluster kubectl get pods --namespace "$namespace" --output 'go-template={{range $pod := .items}}
    {{- $ready := "False"}}
    {{- range .status.conditions}}{{if eq .type "Ready"}}{{$ready = .status}}{{end}}{{end}}
    {{- if and (ne $ready "True") (ne .status.phase "Succeeded")}}  Pod {{.metadata.name}}: {{.status.phase}}
      {{- range .status.conditions}}
        {{- if and (eq .type "PodScheduled") (ne .status "True")}}, {{.reason}}: {{.message}}{{end}}
      {{- end}}
      {{- range $container := .spec.containers}}
        {{- range .ports}}{{if .hostPort}}, port {{.hostPort}} of the node{{end}}{{end}}
        {{- range $pod.status.containerStatuses}}{{if eq .name $container.name}}
          {{- with .state.waiting}}, container {{$container.name}} ({{$container.image}}): {{.reason}}{{with .message}}: {{.}}{{end}}{{end}}
          {{- with .state.terminated}}, container {{$container.name}} ({{$container.image}}): exited with {{.exitCode}} ({{.reason}}){{end}}
        {{- end}}{{end}}
      {{- end}}{{"\n"}}
    {{- end}}
  {{- end}}' \
    >"$work/pods" 2>/dev/null || return 0
  sed -n '1,10p' "$work/pods" | while read -r line; do
    printf '%s\n' "$line"
    pod=${line#*Pod } pod=${pod%%:*}
    cluster kubectl get events --namespace "$namespace" --field-selector "involvedObject.name=$pod,type=Warning" --output \
      'go-template={{range .items}}    {{.reason}}: {{.message}}{{"\n"}}{{end}}' 2>/dev/null | tail -3
  done
}
