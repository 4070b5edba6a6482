{{- define "cistern.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "cistern.selector" -}}
app.kubernetes.io/name: cistern
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "cistern.labels" -}}
{{ include "cistern.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "cistern.scheme" -}}
{{ if .Values.tls.secretName }}HTTPS{{ else }}HTTP{{ end }}
{{- end -}}

{{/* mirror.yml: what values say by name, and over it whatever `config` says. */}}
{{- define "cistern.config" -}}
{{- $http := dict -}}
{{- if .Values.ingress.enabled -}}
{{- $_ := set $http "public_url" (printf "%s://%s" (ternary "https" "http" (not (empty .Values.ingress.tls.secretName))) .Values.ingress.host) -}}
{{- with .Values.ingress.trustedProxies }}{{ $_ := set $http "trusted_proxies" . }}{{ end -}}
{{- end -}}
{{- if .Values.tls.secretName -}}
{{- $_ := set $http "tls" (dict "certificate" "/run/secrets/tls/tls.crt" "key" "/run/secrets/tls/tls.key") -}}
{{- end -}}
{{- $config := dict "store" (dict "max_size" .Values.store.maxSize) "upstreams" .Values.upstreams -}}
{{- with $http }}{{ $_ := set $config "http" . }}{{ end -}}
{{- with .Values.hosted }}{{ $_ := set $config "hosted" . }}{{ end -}}
{{- mergeOverwrite $config (deepCopy .Values.config) | toYaml -}}
{{- end -}}
