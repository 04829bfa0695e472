{{- define "streamflow.name" -}}
{{- if contains "streamflow" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-streamflow" (.Release.Name | trunc 29 | trimSuffix "-") }}{{ end }}
{{- end }}

{{- /* Labels that select pods: they never change. */}}
{{- define "streamflow.selector" -}}
app.kubernetes.io/name: streamflow
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "streamflow.labels" -}}
{{ include "streamflow.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- /* In which order Argo CD updates roles, each when the one before is healthy; nothing else reads it: (dict "role" "engine"). */}}
{{- define "streamflow.order" -}}
{{- $waves := dict "engine" "1" "ingress" "2" "tasks" "2" "history" "2" "mirror" "2" "sidecar" "3" "exporter" "3" "scaled" "4" -}}
argocd.argoproj.io/sync-wave: {{ get $waves .role | quote }}
{{- end }}

{{- define "streamflow.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{- /* "true" if history is in PostgreSQL. */}}
{{- define "streamflow.postgresql" -}}
{{- if dig "history" "postgresql" "" .Values.settings }}true{{ end }}
{{- end }}

{{- /* "true" if the history worker and the sidecar share a pod, for the file that both need. */}}
{{- define "streamflow.oneDisk" -}}
{{- if and .Values.history.enabled (not (include "streamflow.postgresql" .)) }}true{{ end }}
{{- end }}

{{- define "streamflow.prefix" -}}
{{ dig "topics" "prefix" "streamflow." .Values.settings }}
{{- end }}

{{- /* The settings file of every process. */}}
{{- define "streamflow.settings" -}}
{{- $settings := deepCopy .Values.settings }}
{{- $lanes := dict }}
{{- range $name, $lane := .Values.lanes }}{{ $_ := set $lanes $name dict }}{{ end }}
{{- $name := include "streamflow.name" . }}
{{- $service := printf "%s-sidecar" $name }}
{{- $hosts := list $service (printf "%s.%s" $service .Release.Namespace) (printf "%s.%s.svc" $service .Release.Namespace) (printf "%s.%s.svc.cluster.local" $service .Release.Namespace) }}
{{- if .Values.sidecar.ingress.enabled }}{{ $hosts = append $hosts .Values.sidecar.ingress.host }}{{ end }}
{{- $hosts = concat $hosts (dig "sidecar" "hosts" list .Values.settings) | uniq }}
{{- $own := dict
      "state_dir" "/var/lib/streamflow/state"
      "log_format" (dig "log_format" "json" .Values.settings)
      "metrics" (dict "listen" "0.0.0.0:9464")
      "sidecar" (dict "host" "0.0.0.0" "port" 8484 "hosts" $hosts) }}
{{- if not (include "streamflow.postgresql" .) }}{{ $_ := set $own "history" (dict "path" "/var/lib/streamflow/history.db") }}{{ end }}
{{- if not (dig "tasks" "lanes" dict .Values.settings) }}{{ $_ := set $own "tasks" (dict "lanes" $lanes) }}{{ end }}
{{- toYaml (mergeOverwrite $settings $own) }}
{{- end }}

{{- /* Volumes of secrets and settings that a pod with these roles needs: (dict "root" . "roles" list "settings" name). */}}
{{- define "streamflow.volumes" -}}
- name: settings
  configMap: {name: {{ .settings }}}
- name: tmp
  emptyDir: {sizeLimit: 256Mi}
{{- range $role := .roles }}
{{- $sources := list }}
{{- range $file, $secret := $.root.Values.secrets }}
{{- if has $role $secret.roles }}
{{- $sources = append $sources (dict "secret" (dict "name" $secret.secretName "items" (list (dict "key" $secret.key "path" $file)))) }}
{{- end }}
{{- end }}
{{- if $sources }}
- name: secrets-{{ $role }}
  projected:
    defaultMode: 0440
    sources: {{- toYaml $sources | nindent 6 }}
{{- end }}
{{- end }}
{{- end }}

{{- /* One container: (dict "root" . "role" "engine" "args" list "values" .Values.engine "metrics" true). Further keys:
"env" and "mounts" are lists, "ports" and "probes" are dicts. */}}
{{- define "streamflow.container" -}}
- name: {{ .container | default .role }}
  image: {{ include "streamflow.image" .root }}
  imagePullPolicy: {{ .root.Values.image.pullPolicy }}
  args: {{ toJson .args }}
  env:
    - {name: STREAMFLOW_CONFIG, value: /etc/streamflow/streamflow.yaml}
    - {name: HOME, value: /tmp}
    {{- with .env }}{{ toYaml . | nindent 4 }}{{ end }}
  {{- with .ports }}
  ports: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .probes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  resources: {{- toYaml .values.resources | nindent 4 }}
  securityContext:
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    capabilities: {drop: [ALL]}
  volumeMounts:
    - {name: settings, mountPath: /etc/streamflow, readOnly: true}
    - {name: tmp, mountPath: /tmp}
    {{- $role := .role }}
    {{- $mounted := false }}
    {{- range $file, $secret := .root.Values.secrets }}{{ if has $role $secret.roles }}{{ $mounted = true }}{{ end }}{{ end }}
    {{- if $mounted }}
    - {name: secrets-{{ $role }}, mountPath: /run/secrets/streamflow, readOnly: true}
    {{- end }}
    {{- with .mounts }}{{ toYaml . | nindent 4 }}{{ end }}
{{- end }}

{{- /* What all pods have in common: (dict "root" . "component" "engine" "grace" 60). */}}
{{- define "streamflow.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
terminationGracePeriodSeconds: {{ .grace }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.pods }}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}
topologySpreadConstraints:
  {{- range $key := .root.Values.pods.zones | ternary (list "kubernetes.io/hostname" "topology.kubernetes.io/zone") (list "kubernetes.io/hostname") }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "streamflow.selector" $.root | nindent 8 }}
        app.kubernetes.io/component: {{ $.component }}
  {{- end }}
{{- end }}

{{- /* Labels and annotations of a pod. A change of the settings restarts it. */}}
{{- define "streamflow.podMetadata" -}}
labels:
  {{- include "streamflow.labels" .root | nindent 2 }}
  app.kubernetes.io/component: {{ .component }}
annotations:
  checksum/settings: {{ include "streamflow.settings" .root | sha256sum }}
  {{- with .root.Values.pods.annotations }}{{ toYaml . | nindent 2 }}{{ end }}
{{- end }}

{{- /* Probes of a worker: whether the process answers, never whether Kafka does. /live collects no metrics. A slow disk
makes a worker slow, and a restart would add a restore to it: it is given two minutes. */}}
{{- define "streamflow.workerProbes" -}}
startupProbe: {httpGet: {path: /live, port: metrics}, periodSeconds: 5, failureThreshold: 60, timeoutSeconds: 5}
livenessProbe: {httpGet: {path: /live, port: metrics}, periodSeconds: 20, failureThreshold: 6, timeoutSeconds: 10}
readinessProbe: {httpGet: {path: /live, port: metrics}, periodSeconds: 10, failureThreshold: 3, timeoutSeconds: 5}
{{- end }}

{{- /* Of the sidecar: /health needs no token, and the header Host must be a name that it knows. */}}
{{- define "streamflow.sidecarProbes" -}}
{{- $get := dict "path" "/api/v1/health" "port" "http" "httpHeaders" (list (dict "name" "Host" "value" "localhost")) }}
startupProbe: {httpGet: {{ toJson $get }}, periodSeconds: 5, failureThreshold: 60, timeoutSeconds: 5}
livenessProbe: {httpGet: {{ toJson $get }}, periodSeconds: 20, failureThreshold: 3, timeoutSeconds: 5}
readinessProbe: {httpGet: {{ toJson $get }}, periodSeconds: 10, failureThreshold: 3, timeoutSeconds: 5}
{{- end }}

{{- define "streamflow.sidecarContainer" -}}
{{- $ports := list (dict "name" "http" "containerPort" 8484) (dict "name" "metrics" "containerPort" 9464) }}
{{- $env := list }}
{{- if .oneDisk }}
{{- $ports = list (dict "name" "http" "containerPort" 8484) (dict "name" "metrics-http" "containerPort" 9466) }}
{{- $env = list (dict "name" "STREAMFLOW_METRICS__LISTEN" "value" "0.0.0.0:9466") }}
{{- end }}
{{- include "streamflow.container" (dict "root" .root "role" "sidecar" "args" (list "sidecar") "values" .root.Values.sidecar
      "ports" $ports "env" $env "probes" (include "streamflow.sidecarProbes" .root | fromYaml) "mounts" .mounts) }}
{{- end }}
