{{- /* A Deployment of workers without a disk: (dict "root" . "component" "ingress" "role" "ingress" "values" map "args"
list). `replicas` is left out where KEDA sets it. */}}
{{- define "streamflow.deployment" -}}
{{- $name := printf "%s-%s" (include "streamflow.name" .root) .component }}
{{- $settings := include "streamflow.name" .root }}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $name }}
  labels:
    {{- include "streamflow.labels" .root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
  annotations: {{- include "streamflow.order" . | nindent 4 }}
spec:
  {{- if not (dig "autoscaling" "enabled" false .values) }}
  replicas: {{ .replicas | default .values.replicas }}
  {{- end }}
  strategy:
    type: RollingUpdate
    rollingUpdate: {maxUnavailable: 0, maxSurge: 1}
  selector:
    matchLabels:
      {{- include "streamflow.selector" .root | nindent 6 }}
      app.kubernetes.io/component: {{ .component }}
  template:
    metadata:
      {{- include "streamflow.podMetadata" (dict "root" .root "component" .component) | nindent 6 }}
    spec:
      serviceAccountName: {{ $settings }}
      {{- include "streamflow.pod" (dict "root" .root "component" .component "grace" .values.terminationGraceSeconds) | nindent 6 }}
      containers:
        {{- $mounts := list (dict "name" "work" "mountPath" "/var/lib/streamflow") }}
        {{- if eq .role "sidecar" }}
        {{- include "streamflow.sidecarContainer" (dict "root" .root "mounts" $mounts) | nindent 8 }}
        {{- else }}
        {{- include "streamflow.container" (dict "root" .root "role" .role "args" .args "values" .values "env" .env "mounts" $mounts
              "probes" (include "streamflow.workerProbes" .root | fromYaml) "ports" (list (dict "name" "metrics" "containerPort" 9464))) | nindent 8 }}
        {{- end }}
      volumes:
        - name: work
          emptyDir: {sizeLimit: 1Gi}
        {{- include "streamflow.volumes" (dict "root" .root "roles" (list .role) "settings" $settings) | nindent 8 }}
{{- end }}
