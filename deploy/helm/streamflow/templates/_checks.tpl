{{- /* What the schema cannot say. Included once, by settings.yaml. */}}
{{- define "streamflow.checks" -}}
{{- $partitions := dig "topics" "partitions" 12 .Values.settings | int | add .Values.topics.added | int }}
{{- if gt (int .Values.engine.replicas) $partitions }}
{{- fail (printf "engine.replicas is %d, and there are %d partitions: further workers would have none. Lower it, or say in topics.added how many topics grow has added." (int .Values.engine.replicas) $partitions) }}
{{- end }}
{{- if include "streamflow.oneDisk" . }}
{{- if or (gt (int .Values.history.replicas) 1) (gt (int .Values.sidecar.replicas) 1) }}
{{- fail "history is in a file, which one machine has: history.replicas and sidecar.replicas must be 1. Set them, or name a PostgreSQL in settings.history.postgresql." }}
{{- end }}
{{- if .Values.sidecar.autoscaling.enabled }}
{{- fail "sidecar.autoscaling: history is in a file, which one machine has, so there is one sidecar. Name a PostgreSQL in settings.history.postgresql." }}
{{- end }}
{{- end }}
{{- $wanted := dig "tasks" "lanes" dict .Values.settings }}
{{- if $wanted }}
{{- range $name, $lane := .Values.lanes }}
{{- if not (hasKey $wanted $name) }}{{ fail (printf "lanes.%s is no lane of settings.tasks.lanes. Add it there, or set lanes.%s to null." $name $name) }}{{ end }}
{{- end }}
{{- range $name, $lane := $wanted }}
{{- if not (hasKey $.Values.lanes $name) }}{{ fail (printf "settings.tasks.lanes has %s, and no worker serves it. Add lanes.%s." $name $name) }}{{ end }}
{{- end }}
{{- end }}
{{- $drain := dig "tasks" "drain_s" 20.0 .Values.settings }}
{{- range $name, $lane := .Values.lanes }}
{{- if le (float64 $lane.terminationGraceSeconds) (float64 $drain) }}
{{- fail (printf "lanes.%s.terminationGraceSeconds is %v, and attempts may take settings.tasks.drain_s (%v) to end. Raise it." $name $lane.terminationGraceSeconds $drain) }}
{{- end }}
{{- end }}
{{- range $reference := regexFindAll "file:/run/secrets/streamflow/[A-Za-z0-9.-]+" (toJson .Values.settings) -1 | uniq }}
{{- $file := trimPrefix "file:/run/secrets/streamflow/" $reference }}
{{- if not (hasKey $.Values.secrets $file) }}{{ fail (printf "The settings refer to %s, which is not in secrets. Add secrets.%s." $reference $file) }}{{ end }}
{{- end }}
{{- if and (dig "mirror" "topics" list .Values.settings) (not (dig "registry" "url" "" .Values.settings)) }}
{{- fail "settings.mirror.topics needs settings.registry.url. Set it." }}
{{- end }}
{{- if and .Values.sidecar.ingress.enabled (not .Values.sidecar.ingress.host) }}
{{- fail "sidecar.ingress.enabled needs sidecar.ingress.host." }}
{{- end }}
{{- $scaled := .Values.ingress.autoscaling.enabled }}
{{- range $name, $lane := .Values.lanes }}{{ if $lane.autoscaling.enabled }}{{ $scaled = true }}{{ end }}{{ end }}
{{- if and $scaled (not (and .Values.autoscaling.prometheus .Values.exporter.enabled)) }}
{{- fail "Autoscaling asks Prometheus for the lag that the exporter measures. Set autoscaling.prometheus and exporter.enabled." }}
{{- end }}
{{- if and .Values.sidecar.autoscaling.enabled (not .Values.autoscaling.prometheus) }}
{{- fail "sidecar.autoscaling asks Prometheus for the rate of requests. Set autoscaling.prometheus." }}
{{- end }}
{{- end }}
