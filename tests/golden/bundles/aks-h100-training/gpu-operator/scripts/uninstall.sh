#!/bin/sh
# Removes one component: see uninstall.sh of the bundle.
exec "$(CDPATH='' cd "$(dirname "$0")" && pwd)/../../uninstall.sh" 'gpu-operator' "$@"
