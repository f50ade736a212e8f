#!/bin/sh
# shellcheck disable=SC1091,SC2016,SC2034,SC2086,SC2153,SC2154
# Brings the settings of this folder to this host, and back. Running it again changes nothing.
#
# Every file that is replaced is kept in /var/lib/eidos/node-tuning, with a copy of this folder. Functions are in functions.sh.

here=$(CDPATH='' cd "$(dirname "$0")" && pwd)
. "$here/functions.sh"
MODE=apply APPLY='' RESTART=false INCOMPLETE=false PLACED=' ' PERSISTENCED=''
OWN=90-eidos LAST=zz-eidos-all
NEW_LINE='
'

usage() {
  say "usage: sh $0 [--dry-run | --revert] [--restart]"
  say '  without a flag  change what differs, and keep what is replaced'
  say '  --dry-run       show what would be changed'
  say '  --revert        restore what was replaced'
  say '  --restart       restart units whose settings changed'
  say 'ROOT=FOLDER: change the files of another root; commands are not run'
  say 'Exit status: 0 done; 1 failed; 2 wrong usage; 3 done, but a setting is not effective or another file overrides it.'
}

# problem SENTENCE: what keeps a setting from being effective.
problem() {
  printf 'warning: %s\n' "$1" >&2
  INCOMPLETE=true
}

has() {
  if [ -z "$ROOT" ]; then
    command -v "$1" >/dev/null 2>&1
    return
  fi
  for folder in /usr/bin /usr/sbin /bin /sbin; do
    if [ -x "$ROOT$folder/$1" ]; then return 0; fi
  done
  return 1
}

keep_script() {
  mkdir "$STATE/bundle"
  cp -R "$here/." "$STATE/bundle/"
}

# changed NUMBER: its commands run, now or, when this run is killed, in the next one.
changed() {
  is_changed "$1" || CHANGED="$CHANGED$1 "
  if [ "$MODE" = apply ]; then rm -f "$STATE/done.$1"; fi
}

# place PATH TEXT
place() {
  PLACED="$PLACED$1 "
  put "$1" "$2"
}

# place_file PATH FILE: the text of a file of this folder, to its last line feed.
place_file() {
  text=$(cat "$2" && printf x)
  place "$1" "${text%x}"
}

# folder NUMBER TITLE NAME TARGET: the files of one folder.
folder() {
  [ -d "$here/$3" ] || return 0
  remedy "$1" "$2"
  for file in $(cd "$here/$3" && find . -type f | LC_ALL=C sort); do
    place_file "$4/${file#./}" "$here/$3/${file#./}"
  done
}

# sysctls: the settings of our file, a path below /proc/sys and a value on each line.
sysctls() {
  [ -f "$here/sysctl.d/$OWN.conf" ] || return 0
  sed -n 's/^\([^#;= ]*\) *= */\1 /p' "$here/sysctl.d/$OWN.conf" | while read -r name value; do
    case $name in */*) ;; *) name=$(printf '%s' "$name" | tr . /) ;; esac
    printf '%s %s\n' "$name" "$value"
  done
}

# live PATH: the value that a sysctl has now, with one space between its words.
live() {
  tr -s ' \t' ' ' <"$ROOT/proc/sys/$1" 2>/dev/null
}

units() {
  [ -d "$here/units" ] || return 0
  (cd "$here/units" && for folder in *.d; do printf '%s\n' "${folder%.d}"; done)
}

modules() {
  [ -f "$here/modules-load.d/$OWN.conf" ] || return 0
  cat "$here/modules-load.d/$OWN.conf"
}

write_files() {
  folder 1 'sysctls' sysctl.d /etc/sysctl.d
  if [ "$MODE" = apply ]; then
    for name in $(sysctls | cut -d ' ' -f 1); do keep_live "$name"; done
  fi
  folder 2 'kernel modules' modules-load.d /etc/modules-load.d
  folder 3 'options of kernel modules' modprobe.d /etc/modprobe.d
  folder 4 'limits of sessions' limits.d /etc/security/limits.d
  folder 5 'limits of units' units /etc/systemd/system
  folder 8 'files of /sys' tmpfiles.d /etc/tmpfiles.d
  folder 9 'settings of CRI-O' crio.conf.d /etc/crio/crio.conf.d
  if [ -f "$here/unit-states" ]; then remedy 10 'states of units'; fi
  boot_parameters
  persistence_mode
  drop_stale
}

# What an earlier bundle brought, and this one does not.
drop_stale() {
  if [ "$MODE" = show ] || [ ! -f "$STATE/paths" ]; then return 0; fi
  while IFS= read -r path; do
    case $PLACED in *" $path "*) continue ;; esac
    if [ -e "$STATE/after$path" ] && is_ours "$path"; then
      case $path in
        /etc/sysctl.d/*) changed 1 ;;
        /etc/modprobe.d/*) changed 3 ;;
        /etc/systemd/*) changed 5 ;;
        /etc/default/*) changed 6 ;;
        /etc/crio/*) changed 9 ;;
      esac
      restore "$path"
      rm -f "$STATE/after$path" "$STATE/earlier$path"
    fi
  done <"$STATE/paths"
}

# Settings of GRUB have no effect on a host that systemd-boot started.
is_systemd_boot() {
  (tr -d '\000' <"$ROOT/sys/firmware/efi/efivars/LoaderInfo-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f") 2>/dev/null | grep -q systemd-boot
}

# By the tool that the boot loader of this host is set with.
boot_tool() {
  if has kernelstub; then
    echo kernelstub
  elif has grubby && ! is_systemd_boot; then
    echo grubby
  elif has rpm-ostree; then
    echo rpm-ostree
  elif has update-grub && [ -f "$ROOT/etc/default/grub" ] && ! is_systemd_boot; then
    echo grub
  elif has kernel-install && [ -f "$ROOT/etc/kernel/cmdline" ]; then
    echo bls
  fi
}

boot_parameters() {
  [ -f "$here/boot-parameters" ] || return 0
  parameters=$(tr '\n' ' ' <"$here/boot-parameters") TOOL=$(boot_tool)
  parameters=${parameters% }
  remedy 6 "boot parameters: $parameters"
  case $TOOL in
    grub) place_file "/etc/default/grub.d/$OWN.cfg" "$here/grub.d/$OWN.cfg" ;;
    bls)
      words=$(cat "$ROOT/etc/kernel/cmdline")
      for word in $parameters; do
        case " $words " in *" $word "*) ;; *) words="$words $word" ;; esac
      done
      place /etc/kernel/cmdline "$words$NEW_LINE"
      ;;
    '')
      CHANGED=$(printf '%s' "$CHANGED" | sed 's/ 6 / /')
      problem "no tool for the boot loader of this host was found: append '$parameters' to the kernel's parameters by hand, then reboot"
      ;;
    *)
      # These tools write their own files: what was given to them is kept.
      if [ "$MODE" = apply ]; then
        [ ! -f "$STATE/boot" ] || [ "$(cat "$STATE/boot")" = "$parameters" ] || changed 6
        printf '%s' "$parameters" >"$STATE/boot"
        printf '%s' "$TOOL" >"$STATE/boot-tool"
      fi
      ;;
  esac
}

persistence_mode() {
  [ -f "$here/persistence-mode" ] || return 0
  for folder in /lib /usr/lib /etc; do
    file=$ROOT$folder/systemd/system/nvidia-persistenced.service
    if [ -f "$file" ]; then PERSISTENCED=$file; fi
  done
  if [ -z "$PERSISTENCED" ]; then
    say '7. persistence mode: this host has no nvidia-persistenced.service; a driver container runs its own'
    return 0
  fi
  remedy 7 'persistence mode'
  start=$(sed -n 's/^ExecStart=//p' "$PERSISTENCED" | tail -n 1)
  case $start in
    *' --no-persistence-mode'*)
      start=$(printf '%s' "$start" | sed 's/ --no-persistence-mode//')
      place "/etc/systemd/system/nvidia-persistenced.service.d/$OWN.conf" \
        "[Service]${NEW_LINE}ExecStart=${NEW_LINE}ExecStart=$start$NEW_LINE"
      ;;
  esac
}

run_commands() {
  load_sysctls
  for name in $(modules); do load_module "$name"; done
  if has update-initramfs; then
    run 3 'update-initramfs -u'
  elif has dracut; then
    run 3 'dracut --force'
  fi
  run 5 'systemctl daemon-reload'
  for unit in $(units); do ! "$RESTART" || run 5 "systemctl try-restart $unit"; done
  if [ -d "$here/tmpfiles.d" ]; then run 8 "systemd-tmpfiles --create /etc/tmpfiles.d/$OWN.conf"; fi
  if "$RESTART" && [ -d "$here/crio.conf.d" ]; then run 9 'systemctl try-restart crio kubelet'; fi
  set_unit_states
  if [ -f "$here/boot-parameters" ]; then set_boot_parameters; elif is_changed 6; then run 6 'update-grub'; fi
  if [ -n "$PERSISTENCED" ]; then
    if [ "$MODE" = apply ] && [ -z "$ROOT" ] && [ ! -e "$STATE/persistenced" ]; then
      systemctl is-enabled nvidia-persistenced.service >"$STATE/copy" 2>/dev/null || :
      mv "$STATE/copy" "$STATE/persistenced"
    fi
    run 7 'systemctl daemon-reload'
    run 7 'systemctl enable nvidia-persistenced.service'
    run 7 'systemctl restart nvidia-persistenced.service'
  fi
}

load_sysctls() {
  sysctls | while read -r name value; do
    [ -r "$ROOT/proc/sys/$name" ] || continue
    now=$(live "$name")
    if [ "$now" != "$value" ] && [ "$MODE" = show ]; then
      say "would set $name: $now -> $value"
    elif [ "$now" != "$value" ] && [ -z "$ROOT" ]; then
      # What cannot be set is reported by verify.
      if printf '%s\n' "$value" >"/proc/sys/$name"; then say "set $name: $now -> $value"; fi 2>/dev/null
    fi
  done
}

# States as systemctl names them: enabled, disabled or masked, and a unit on each line.
set_unit_states() {
  [ -f "$here/unit-states" ] || return 0
  while read -r state unit; do
    now=''
    if [ -z "$ROOT" ]; then now=$(systemctl is-enabled "$unit" 2>/dev/null) || :; fi
    if [ "$now" = "$state" ]; then continue; fi
    changed 10
    if [ "$MODE" = apply ] && ! grep -qs " $unit\$" "$STATE/unit-states"; then
      printf '%s %s\n' "${now:-unknown}" "$unit" >>"$STATE/unit-states"
    fi
    run 10 "systemctl $(verb "$state") --now $unit"
  done <"$here/unit-states"
}

verb() {
  case $1 in enabled) echo enable ;; masked) echo mask ;; *) echo disable ;; esac
}

load_module() {
  if [ -d "$ROOT/sys/module/$(printf '%s' "$1" | tr - _)" ]; then return 0; fi
  if [ "$MODE" = show ]; then
    say "would run: modprobe $1"
  elif [ -n "$ROOT" ]; then
    say "not run in another root: modprobe $1"
  elif ! modprobe "$1"; then
    problem "the kernel module $1 cannot be loaded: install the package that has it for this kernel"
  fi
}

set_boot_parameters() {
  case $TOOL in
    grub)
      generated 6 /boot/grub/grub.cfg
      run 6 'update-grub'
      ;;
    bls) run 6 "$INSTALL_KERNELS" ;;
    grubby)
      generated 6 /etc/default/grub /etc/kernel/cmdline /boot/grub2/grubenv /boot/loader/entries/*.conf
      run 6 "grubby --update-kernel=ALL --args='$parameters'"
      ;;
    kernelstub)
      generated 6 /etc/kernelstub/configuration /boot/efi/loader/entries/*.conf
      run 6 "kernelstub --add-options '$parameters'"
      ;;
    rpm-ostree)
      run 6 "rpm-ostree kargs$(printf " --append-if-missing='%s'" $parameters)"
      ;;
  esac
}

INSTALL_KERNELS='for kernel in /lib/modules/*; do if [ -f "$kernel/vmlinuz" ]; then kernel-install add "${kernel##*/}" "$kernel/vmlinuz"; fi; done'

show_next_steps() {
  for unit in $(units); do
    "$RESTART" || afterwards 5 "restart: run 'systemctl restart $unit', or this script with --restart; until then its processes keep their limits"
  done
  "$RESTART" || afterwards 9 "restart: run 'systemctl restart crio kubelet', or this script with --restart"
  afterwards 4 'log in again: sessions that are open keep their limits'
  afterwards 3 'drain and reboot: the options of modules hold from the next boot on'
  afterwards 6 'drain and reboot: boot parameters hold from the next boot on'
}

undo_commands() {
  for name in $(cd "$STATE/live" 2>/dev/null && find . -type f); do restore_live "${name#./}"; done
  if grep -q '^/etc/systemd/' "$STATE/paths"; then undo 'systemctl daemon-reload'; fi
  if grep -q '^/etc/modprobe.d/' "$STATE/paths"; then
    if has update-initramfs; then undo 'update-initramfs -u'; elif has dracut; then undo 'dracut --force'; fi
  fi
  if grep -q '^/etc/default/grub.d/' "$STATE/paths"; then undo 'update-grub'; fi
  if grep -q '^/etc/kernel/cmdline' "$STATE/paths"; then undo "$INSTALL_KERNELS"; fi
  if [ -f "$STATE/boot" ]; then
    parameters=$(cat "$STATE/boot")
    case $(cat "$STATE/boot-tool") in
      grubby) undo "grubby --update-kernel=ALL --remove-args='$parameters'" ;;
      kernelstub) undo "kernelstub --delete-options '$parameters'" ;;
      rpm-ostree) undo "rpm-ostree kargs$(printf " --delete-if-present='%s'" $parameters)" ;;
    esac
    say 'then: drain and reboot: the old boot parameters hold from the next boot on'
  fi
  if [ -f "$STATE/unit-states" ]; then
    while read -r state unit; do
      case $state in
        enabled | disabled)
          undo "systemctl unmask $unit"
          undo "systemctl $(verb "$state") --now $unit"
          ;;
        masked) undo "systemctl mask --now $unit" ;;
      esac
    done <"$STATE/unit-states"
  fi
  if grep -q '^/etc/tmpfiles.d/' "$STATE/paths"; then
    say 'then: reboot: files of /sys have their old values from the next boot on'
  fi
  case $(cat "$STATE/persistenced" 2>/dev/null) in disabled) undo 'systemctl disable --now nvidia-persistenced.service' ;; esac
}

# later NAME FOLDER...: files with its suffix that are read after NAME in these folders; of files of one name that of the first folder counts.
later() {
  name=$1
  shift
  for folder in "$@"; do
    for file in "$ROOT$folder"/*."${name##*.}"; do
      if [ -f "$file" ]; then printf '%s %s\n' "${file##*/}" "$file"; fi
    done
  done | LC_ALL=C sort -s -k 1,1 | LC_ALL=C awk -v name="$name" '($1 "") > (name "") && !seen[$1]++ { print $2 }'
}

# overridden OWN FILE...: name, file and value of each assignment of the first file that the others change.
overridden() {
  LC_ALL=C awk '
    { line = $0; sub(/^[ \t]*-?[ \t]*/, "", line); if (line ~ /^[#;]/ || line !~ /=/) next
      name = line; sub(/[ \t]*=.*/, "", name); gsub("/", ".", name)
      value = line; sub(/^[^=]*=[ \t]*/, "", value); gsub(/[ \t]+/, " ", value); sub(/ $/, "", value)
      if (FILENAME == ARGV[1]) { own[name] = value; order[++count] = name }
      else if (name in own) { last[name] = value; place[name] = FILENAME } }
    END { for (i = 1; i <= count; i++) { name = order[i]
      if (name in last && last[name] != own[name]) print name " " place[name] " " last[name] } }' "$@"
}

# report_overrides OWN FOLDER...: settings of our file that a later file of these folders sets otherwise.
report_overrides() {
  own=$1
  [ -f "$own" ] || return 0
  shift
  # shellcheck disable=SC2046
  set -- $(later "${own##*/}" "$@")
  [ $# -gt 0 ] || return 0
  report=$(overridden "$own" "$@")
  [ -n "$report" ] || return 0
  INCOMPLETE=true
  printf '%s\n' "$report" | while read -r name file value; do
    printf 'warning: %s is overridden: %s sets it to %s, and is read after %s\n' "$name" "${file#"$ROOT"}" "$value" "${own##*/}" >&2
  done
}

# verify: compares what is effective with what this folder says.
verify() {
  report_overrides "$here/sysctl.d/$OWN.conf" /etc/sysctl.d /run/sysctl.d /usr/local/lib/sysctl.d /usr/lib/sysctl.d /lib/sysctl.d
  report_overrides "$here/modprobe.d/$LAST.conf" /etc/modprobe.d /run/modprobe.d /usr/local/lib/modprobe.d /usr/lib/modprobe.d /lib/modprobe.d
  for unit in $(units); do
    report_overrides "$here/units/$unit.d/$OWN.conf" "/etc/systemd/system/$unit.d" "/run/systemd/system/$unit.d" \
      "/usr/lib/systemd/system/$unit.d" "/lib/systemd/system/$unit.d"
  done
  if [ -f "$here/boot-parameters" ]; then
    for file in $(later "$OWN.cfg" /etc/default/grub.d); do
      if grep -q '^GRUB_CMDLINE_LINUX_DEFAULT=' "$file" && ! grep -q '^GRUB_CMDLINE_LINUX_DEFAULT=.*\$' "$file"; then
        problem "the boot parameters are overridden: ${file#"$ROOT"} sets GRUB_CMDLINE_LINUX_DEFAULT anew, and is read after $OWN.cfg"
      fi
    done
  fi
  for name in $(modules); do
    file=$(grep -lE "^[[:space:]]*blacklist[[:space:]]+$name([[:space:]]|\$)" "$ROOT"/etc/modprobe.d/*.conf "$ROOT"/usr/lib/modprobe.d/*.conf 2>/dev/null |
      head -n 1) || :
    [ -z "$file" ] || problem "the kernel module $name is not loaded at boot: ${file#"$ROOT"} has it on the blacklist"
  done
  [ -z "$ROOT" ] && [ "$MODE" = apply ] || return 0
  missed=$(sysctls | while read -r name value; do
    if [ ! -r "/proc/sys/$name" ]; then
      printf 'warning: %s is not effective: this kernel does not have it, or the module that does is not loaded\n' "$name" >&2
      echo incomplete
    elif [ "$(live "$name")" != "$value" ]; then
      printf 'warning: %s is not effective: it is %s, not %s\n' "$name" "$(live "$name")" "$value" >&2
      echo incomplete
    fi
  done)
  [ -z "$missed" ] || INCOMPLETE=true
  missed=$(for unit in $(units); do
    sed -n '/=/p' "$here/units/$unit.d/$OWN.conf" | while IFS='=' read -r name value; do
      actual=$(systemctl show --property="$name" --value "$unit" 2>/dev/null) || actual=unknown
      if [ "$actual" != "$value" ]; then
        printf 'warning: %s of %s is not effective: it is %s, not %s\n' "$name" "$unit" "$actual" "$value" >&2
        echo incomplete
      fi
    done
  done)
  [ -z "$missed" ] || INCOMPLETE=true
}

main() {
  for word in "$@"; do
    case $word in
      --dry-run) MODE=show ;;
      --revert) MODE=revert ;;
      --restart) RESTART=true ;;
      -h | --help)
        usage
        return 0
        ;;
      *)
        usage >&2
        exit 2
        ;;
    esac
  done
  begin node-tuning
  if [ "$MODE" != revert ]; then verify; fi
  if "$INCOMPLETE"; then exit 3; fi
}

main "$@"
