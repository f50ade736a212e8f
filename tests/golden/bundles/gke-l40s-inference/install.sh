order() { printf '%s\n' 'kube-prometheus-stack' 'prometheus-adapter' 'cert-manager' 'gpu-operator' 'nim-operator'; }
