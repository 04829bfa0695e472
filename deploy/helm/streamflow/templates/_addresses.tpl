{{- /* Ports of addresses of the settings, each host:port[,host:port] or a URL, without repeats, as a JSON list: (dict
"addresses" list "default" 9092). A URL without a port has that of its scheme. */}}
{{- define "streamflow.ports" -}}
{{- $ports := list }}
{{- range $address := .addresses }}
{{- $scheme := regexFind "^[a-zA-Z0-9+.-]+://" $address }}
{{- $own := get (dict "http://" "80" "https://" "443" "postgresql://" "5432" "postgres://" "5432") $scheme | default $.default | toString }}
{{- $hosts := regexReplaceAll "[/?#].*$" (trimPrefix $scheme $address) "" | regexFind "[^@]*$" }}
{{- range splitList "," $hosts }}
{{- $ports = append $ports (regexFind ":[0-9]+$" (trim .) | trimPrefix ":" | default $own | int) }}
{{- end }}
{{- end }}
{{- toJson (uniq $ports) }}
{{- end }}

{{- /* A rule of egress, or nothing when there is no port: (dict "policy" .Values.networkPolicy.kafka "addresses" list
"default" 9092). Its ports are those of the policy, else those of the addresses. */}}
{{- define "streamflow.egress" -}}
{{- $ports := .policy.ports | default (include "streamflow.ports" . | fromJsonArray) }}
{{- if $ports -}}
- ports:
    {{- range $ports }}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
  {{- with .policy.to }}
  to: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- end }}

{{- /* What the sidecar asks: language models, the OpenID provider, Redis, whose address is a secret, and the Kafka of
other environments. A JSON list for streamflow.ports. */}}
{{- define "streamflow.sidecarAddresses" -}}
{{- $addresses := list }}
{{- range $name, $model := dig "models" "available" dict .Values.settings }}
{{- $addresses = append $addresses (get $model "url" | default "https://") }}
{{- end }}
{{- with dig "access" "oidc" dict .Values.settings }}{{ $addresses = append $addresses .issuer }}{{ end }}
{{- if dig "access" "redis" "" .Values.settings }}{{ $addresses = append $addresses ":6379" }}{{ end }}
{{- range $name, $environment := dig "approvals" "environments" dict .Values.settings }}
{{- if kindIs "map" $environment }}
{{- range splitList "," (dig "kafka" "bootstrap_servers" "" $environment) }}
{{- with trim . }}{{ $addresses = append $addresses . }}{{ end }}
{{- end }}
{{- end }}
{{- end }}
{{- toJson $addresses }}
{{- end }}

{{- /* The address of the archive of history, as a JSON list: empty unless it is a server. */}}
{{- define "streamflow.archiveAddresses" -}}
{{- $archive := dig "history" "archive" "" .Values.settings }}
{{- $connection := dig "tasks" "connections" $archive dict .Values.settings }}
{{- if and $archive (eq (get $connection "kind") "s3") }}{{ toJson (list $connection.url) }}{{ else }}[]{{ end }}
{{- end }}

{{- /* The component of the pods with the history worker. */}}
{{- define "streamflow.historyComponent" -}}
{{- if include "streamflow.oneDisk" . }}sidecar{{ else }}history{{ end }}
{{- end }}
