order() { printf '%s\n' 'aws-ebs-csi-driver' 'kube-prometheus-stack' 'cert-manager' 'gpu-operator' 'nvidia-dra-driver-gpu' 'kai-scheduler' 'aws-efa'; }
