# shellcheck disable=SC2016,SC2317
# Texts in single quotes stay as they are; functions below are called by main.

set -eu
umask 022
ROOT=${ROOT:-}
ROOT=${ROOT%/}
CHANGED=' '
MODE=show
# How the script is called to change something.
APPLY=' --apply'

say() {
  printf '%s\n' "$1"
}

fail() {
  printf 'error: %s\n' "$1" >&2
  printf 'hint: %s\n' "$2" >&2
  exit 1
}

usage() {
  say "usage: sh $0 [--apply | --revert]"
  say '  without a flag  show what would be changed'
  say '  --apply         change it, and keep what is replaced'
  say '  --revert        restore what --apply replaced'
  say 'ROOT=FOLDER: change the files of another root; commands are not run'
}

# Where the replaced files are kept. The folder is created complete or not at all, even if the script is killed.
open_state() {
  if [ -d "$STATE" ]; then
    return 0
  fi
  clean
  final=$STATE
  top=$final
  for folder in /var/lib/eidos /var/lib /var; do
    if [ ! -d "$ROOT$folder" ]; then
      top=$ROOT$folder
    fi
  done
  STATE=$top.eidos-new${final#"$top"}
  mkdir -p "$STATE"
  chmod 700 "$STATE"
  keep_script
  : >"$STATE/paths"
  : >"$STATE/generated"
  : >"$STATE/folders"
  for folder in /var /var/lib /var/lib/eidos; do
    if [ ! -d "$ROOT$folder" ]; then
      printf '%s\n' "$folder" >>"$STATE/folders"
    fi
  done
  mv "$top.eidos-new" "$top"
  STATE=$final
}

# Takes it away, with the folders that were made for it and hold nothing else, in one step.
close_state() {
  top=$STATE
  for folder in /var/lib/eidos /var/lib /var; do
    if ! grep -qx "$folder" "$STATE/folders" || [ "$(ls -A "$ROOT$folder")" != "${top##*/}" ]; then
      break
    fi
    top=$ROOT$folder
  done
  mv "$top" "$top.eidos-old"
  clean
}

# What a killed run left of these folders.
clean() {
  for folder in "$STATE" "$ROOT/var/lib/eidos" "$ROOT/var/lib" "$ROOT/var"; do
    rm -rf "$folder.eidos-new" "$folder.eidos-old"
  done
}

# Another script may take the place of this one: this is the one that takes back what it changed.
keep_script() {
  if [ -f "$0" ]; then
    cp "$0" "$STATE/fix.sh"
  fi
}

make_folder() {
  if [ -d "$ROOT$1" ]; then
    return 0
  fi
  if [ -n "${1%/*}" ]; then
    make_folder "${1%/*}"
  fi
  printf '%s\n' "$1" >>"$STATE/folders"
  mkdir "$ROOT$1"
}

exists() {
  [ -e "$1" ] || [ -L "$1" ]
}

# keep PATH LIST: copy the file, or note that it does not exist, once.
keep() {
  if exists "$STATE/before$1" || [ -e "$STATE/absent$1" ]; then
    return 0
  fi
  printf '%s\n' "$1" >>"$STATE/$2"
  if exists "$ROOT$1"; then
    mkdir -p "$STATE/before${1%/*}"
    cp -pP "$ROOT$1" "$STATE/copy"
    mv "$STATE/copy" "$STATE/before$1"
  else
    mkdir -p "$STATE/absent${1%/*}"
    : >"$STATE/absent$1"
  fi
}

is_changed() {
  for number in $1; do
    case $CHANGED in
    *" $number "*) return 0 ;;
    esac
  done
  return 1
}

# remedy NUMBER TITLE
remedy() {
  NUMBER=$1
  say "$1. $2"
  if [ ! -e "$STATE/done.$1" ]; then
    CHANGED="$CHANGED$1 "
  fi
}

# put PATH TEXT
put() {
  if [ -f "$ROOT$1" ] && [ ! -L "$ROOT$1" ] && printf '%s' "$2" | cmp -s - "$ROOT$1"; then
    say "   unchanged: $1"
    return 0
  fi
  if ! is_changed "$NUMBER"; then
    CHANGED="$CHANGED$NUMBER "
  fi
  if [ "$MODE" = show ]; then
    say "   would write $1:"
    printf '%s\n' "$2" | sed -e '/^$/d' -e 's/^/     /'
    return 0
  fi
  if [ -d "$ROOT$1" ]; then
    fail "cannot write $ROOT$1: it is a folder" 'move the folder away'
  fi
  # Killed from here on, the next run repeats the commands, and either text is taken back.
  rm -f "$STATE/done.$NUMBER"
  keep "$1" paths
  make_folder "${1%/*}"
  mkdir -p "$STATE/after${1%/*}"
  if is_same "$ROOT$1" "$STATE/after$1"; then
    mkdir -p "$STATE/earlier${1%/*}"
    cp "$STATE/after$1" "$STATE/copy"
    mv "$STATE/copy" "$STATE/earlier$1"
  fi
  printf '%s' "$2" >"$STATE/after$1"
  printf '%s' "$2" >"$ROOT$1.eidos-new"
  chmod 644 "$ROOT$1.eidos-new"
  mv -f "$ROOT$1.eidos-new" "$ROOT$1"
  rm -f "$STATE/earlier$1"
  say "   wrote $1"
}

# keep_live NAME: the value that a sysctl has now, by its path below /proc/sys.
keep_live() {
  if [ "$MODE" = show ] || [ ! -r "$ROOT/proc/sys/$1" ] || [ -e "$STATE/live/$1" ]; then
    return 0
  fi
  mkdir -p "$STATE/live/${1%/*}"
  cat "$ROOT/proc/sys/$1" >"$STATE/copy"
  mv "$STATE/copy" "$STATE/live/$1"
}

restore_live() {
  if [ -e "$STATE/live/$1" ] && ! cmp -s "$STATE/live/$1" "$ROOT/proc/sys/$1"; then
    if cat "$STATE/live/$1" >"$ROOT/proc/sys/$1"; then
      say "   restored the value of $1"
    else
      STATUS=1
    fi
  fi
}

# generated NUMBERS FILE...: files that the next commands write.
generated() {
  numbers=$1
  shift
  if [ "$MODE" = show ] || [ -n "$ROOT" ] || ! is_changed "$numbers"; then
    return 0
  fi
  for file in "$@"; do
    if [ -f "$file" ] || [ -L "$file" ]; then
      keep "$file" generated
    fi
  done
}

# run NUMBERS COMMAND
run() {
  if ! is_changed "$1"; then
    return 0
  fi
  if [ "$MODE" = show ]; then
    say "would run: $2"
  elif [ -n "$ROOT" ]; then
    say "not run in another root: $2"
  else
    say "running: $2"
    sh -c "$2" || fail "command failed: $2" "correct the cause and run 'sh $0$APPLY' again, or run 'sh $0 --revert'"
  fi
}

# afterwards NUMBER SENTENCE: what a person does.
afterwards() {
  if is_changed "$1"; then
    say "then: $2"
  fi
}

undo() {
  if [ -n "$ROOT" ]; then
    say "not run in another root: $1"
  else
    say "running: $1"
    if ! sh -c "$1"; then
      printf 'error: command failed: %s\n' "$1" >&2
      STATUS=1
    fi
  fi
}

is_same() {
  if [ -L "$1" ] || [ -L "$2" ]; then
    [ -L "$1" ] && [ -L "$2" ] && [ "$(readlink "$1")" = "$(readlink "$2")" ]
  else
    [ -f "$1" ] && cmp -s "$1" "$2"
  fi
}

# is_ours PATH: the file has a text that this script wrote.
is_ours() {
  is_same "$ROOT$1" "$STATE/after$1" || is_same "$ROOT$1" "$STATE/earlier$1"
}

restore() {
  if [ -e "$STATE/absent$1" ]; then
    rm -f "$ROOT$1"
    say "   removed $1"
  elif exists "$STATE/before$1"; then
    # The folder of a link may have gone with its last one.
    mkdir -p "$ROOT${1%/*}"
    cp -pP "$STATE/before$1" "$ROOT$1.eidos-new"
    mv -f "$ROOT$1.eidos-new" "$ROOT$1"
    say "   restored $1"
  fi
}

apply() {
  if [ "$MODE" = apply ]; then
    open_state
  fi
  write_files
  run_commands
  if [ "$CHANGED" = ' ' ]; then
    say 'nothing to change'
    return 0
  fi
  if [ "$MODE" = show ]; then
    say "nothing was changed; run 'sh $0$APPLY' to change it"
    return 0
  fi
  while IFS= read -r path; do
    mkdir -p "$STATE/after${path%/*}"
    if exists "$path"; then
      cp -pP "$path" "$STATE/after$path"
    fi
  done <"$STATE/generated"
  for number in $CHANGED; do
    : >"$STATE/done.$number"
  done
  show_next_steps
  say "run 'sh $0 --revert' to take it back"
}

revert() {
  STATUS=0
  if [ ! -d "$STATE" ]; then
    clean
    say 'nothing to revert'
    return 0
  fi
  # Whatever becomes of this run, the next --apply repeats its commands.
  rm -f "$STATE"/done.*
  # What was changed since is left alone; files that commands write are compared before those run.
  : >"$STATE/unchanged"
  while IFS= read -r path; do
    rm -f "$ROOT$path.eidos-new"
    if is_same "$ROOT$path" "$STATE/after$path" || { ! exists "$ROOT$path" && ! exists "$STATE/after$path"; }; then
      printf '%s\n' "$path" >>"$STATE/unchanged"
    fi
  done <"$STATE/generated"
  while IFS= read -r path; do
    rm -f "$ROOT$path.eidos-new"
    if [ ! -e "$STATE/after$path" ]; then
      continue
    fi
    if is_ours "$path"; then
      restore "$path"
      rm -f "$STATE/after$path" "$STATE/earlier$path"
    elif is_same "$ROOT$path" "$STATE/before$path" || { [ -e "$STATE/absent$path" ] && ! exists "$ROOT$path"; }; then
      rm -f "$STATE/after$path"
    else
      printf 'error: %s was changed since --apply and is left as it is\n' "$ROOT$path" >&2
      STATUS=1
    fi
  done <"$STATE/paths"
  undo_commands
  while IFS= read -r path; do
    if ! is_same "$path" "$STATE/before$path"; then
      restore "$path"
    fi
  done <"$STATE/unchanged"
  if [ "$STATUS" != 0 ]; then
    fail "not everything was taken back; the replaced files are in $STATE" 'compare them with the present ones, then remove that folder'
  fi
  folders=
  while IFS= read -r folder; do
    folders="$folder
$folders"
  done <"$STATE/folders"
  # Those that were made and are empty again.
  printf '%s' "$folders" | while IFS= read -r folder; do
    rmdir "$ROOT$folder" 2>/dev/null || :
  done
  close_state
  say 'reverted'
}

# begin NAME: what MODE says; replaced files are kept under this name.
begin() {
  STATE="$ROOT/var/lib/eidos/$1"
  if [ -n "$ROOT" ] && [ ! -d "$ROOT" ]; then
    fail "$ROOT is not a folder" 'set ROOT to the folder of another root'
  fi
  if [ "$MODE" != show ] && [ -z "$ROOT" ] && [ "$(id -u)" != 0 ]; then
    if [ "$MODE" = revert ]; then
      APPLY=' --revert'
    fi
    fail "$MODE needs root" "run 'sudo sh $0$APPLY'"
  fi
  if [ "$MODE" = revert ]; then
    revert
  else
    apply
  fi
}

main() {
  case ${1:-} in
  '') ;;
  --apply) MODE=apply ;;
  --revert) MODE=revert ;;
  -h | --help)
    usage
    return 0
    ;;
  *)
    usage >&2
    exit 2
    ;;
  esac
  if [ $# -gt 1 ]; then
    usage >&2
    exit 2
  fi
  begin "fix-$PLAN"
}
