#!/bin/sh
# Installs or upgrades one component: see install.sh of the bundle.
exec "$(CDPATH='' cd "$(dirname "$0")" && pwd)/../../install.sh" @{component.id} "$@"
