order() { printf '%s\n' 'cert-manager' 'kube-prometheus-stack' 'gpu-operator' 'network-operator' 'kai-scheduler'; }
